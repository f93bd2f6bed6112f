"""Train the perception network: FER+ votes, renders with exact AUs, AU cue maps; resumable at any moment.

    train(PerceptionTraining(fer=(Path("ferplus_train_a.npz"),), ict=Path("ict_facekit.npz"), out=Path("run")))

Losses of one step:

* cross-entropy with the distribution of FER+'s votes over eight labels; as FER+ does (Barsoum et al. 2016, published
  code), single votes count as slips, and unknown / not-a-face votes are dropped;
* squared error of the skin's AU reading on renders (all AUs, exact), and on frames that coders labelled (au_data.py), where there
  are some and where an AU was coded;
* correlation of the skin's reading with the votes for expressions that hold the AU (`WEAK`), for AUs whose trace is in the
  skin, which renders have not; the network reads each only at its region (perception_net.Skin);
* `cues` x (1 - cosine of the map's channel mean and the AU cue map), Belharbi et al. 2024; neutral has no map.

`mix` lays photographs over one another in pairs (mixup: Zhang et al. 2018, arXiv 1710.09412), picture, landmarks, votes and map
alike; `distil` softens the votes with the readings of earlier runs (distil.py).

`HOLD_OUT` photographs of the training set are never trained on: all choices are made on them. Weights are averaged (EMA); the
rate follows a cosine. `out/checkpoint.pt` is replaced atomically every `save_s`; a killed run goes on from it with the same
order of batches. `out/log.jsonl` has one line a report. Runs on CUDA in bfloat16 where there is one.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from streamfer.errors import UsageError
from streamfer.evaluation.expression import majority
from streamfer.records import LABELS
from streamfer.training import au_data, face_crops
from streamfer.training.au_data import AUData
from streamfer.training.augment import augmented, mixed
from streamfer.training.distil import softened
from streamfer.training.landmark_au import COLUMNS
from streamfer.training.perception_data import (
    HOLD_OUT,
    Drawn,
    Photos,
    held_out,
    load_photos,
    load_renders,
    load_run,
    mirror_front,
    new_net,
    photos_of,
    probabilities,
    vote_shares,
)
from streamfer.training.perception_net import NetSize, Perception

log = logging.getLogger(__name__)

WEAK: dict[int, dict[str, float]] = {
    4: {"anger": 1.0, "sadness": 0.5, "disgust": 0.5, "fear": 0.5}, 6: {"happiness": 1.0},
    9: {"disgust": 1.0, "anger": 0.3}, 10: {"disgust": 1.0, "anger": 0.5}, 15: {"sadness": 1.0}, 17: {"sadness": 1.0},
}  # fmt: skip
"""AU -> how far a vote for a label speaks for it: the codebook (expression/cues.py), restricted to what few others share."""


@dataclass(frozen=True, slots=True)
class PerceptionTraining:
    """`cache` keeps crops and renders, which take some minutes to make. Rates and weights are per step."""

    out: Path
    fer: tuple[Path, ...]  # npz with images (n, 48, 48) and votes (n, 10)
    ict: Path | None = None  # ICT-FaceKit as npz
    coded: tuple[AUData, ...] = ()  # frames with intensities by coders
    cache: Path | None = None  # default: out / "cache"
    seeds: tuple[int, ...] = (11, 12, 13)  # of the renders; 16 is for choices, 14 for reports
    people: int = 50
    views: int = 8
    expressions: int = 6
    epochs: float = 12.0  # passes over FER+
    batch: int = 128
    render_batch: int = 32
    coded_batch: int = 32
    rate: float = 2e-3
    weight_decay: float = 0.05
    cues: float = 1.0  # weight of the alignment; 0 trains without
    skin: float = 0.3
    weak: float = 0.2
    average: float = 0.998  # EMA of the weights, per step
    no_points: float = 0.2  # share of faces whose landmarks are withheld
    hold_out: int = HOLD_OUT
    seed: int = 1
    start: tuple[Path, ...] = ()  # checkpoint.pt of earlier runs, whose averaged weights (of several their mean) this one begins with
    distil: tuple[Path, ...] = ()  # checkpoint.pt of earlier runs of the same size, whose mean readings soften the votes ...
    distil_share: float = 0.5  # ... by so much
    mix: float = 0.0  # mixup: both parameters of the beta distribution; 0 for none
    threads: int = 1
    device: str = "auto"
    save_s: float = 120.0
    report_steps: int = 100
    size: NetSize = field(default_factory=NetSize)


SCHEDULES: dict[str, dict[str, Any]] = {
    "quick": {"epochs": 16.0},  # about an hour and a half of one core at 2.5 GHz
    "full": {
        "epochs": 120.0, "batch": 512, "render_batch": 128, "seeds": (11, 12, 13, 15, 17, 18, 19, 20),
        "size": NetSize(stem=32, mid=96, deep=256, out=128, deep_blocks=3), "average": 0.9995,
    },
}  # fmt: skip


def train(config: PerceptionTraining) -> Perception:
    """Train, or go on with, the run in `config.out`; returns the averaged network."""
    torch.set_num_threads(config.threads)
    device = ("cuda" if torch.cuda.is_available() else "cpu") if config.device == "auto" else config.device
    faces, votes = load_photos(config)
    if len(faces) <= config.hold_out:
        raise UsageError(f"{len(faces)} photographs, of which {config.hold_out} are held out: give more, or a smaller hold_out")
    out = held_out(len(faces), config.hold_out)
    usable = vote_shares(votes).sum(axis=1) > 0
    photos = photos_of(faces.take(np.flatnonzero(~out & usable)), votes[~out & usable])
    drawn = None
    if config.ict is not None:
        parts = [load_renders(config, seed) for seed in config.seeds]
        crops = face_crops.joined(p[0] for p in parts).crops
        truth = np.concatenate([p[1].truth(COLUMNS) for p in parts])
        drawn = Drawn(torch.from_numpy(crops), torch.from_numpy(truth))
    coded = None
    if config.coded:
        pairs = [au_data.labelled(data, config.cache or config.out / "cache") for data in config.coded]
        coded = Drawn(*(torch.from_numpy(np.concatenate(part)) for part in zip(*pairs, strict=True)))
    checks = photos_of(faces.take(np.flatnonzero(out)), votes[out])
    torch.manual_seed(config.seed)
    run = Run(config, new_net(faces, config.size), device)
    if config.distil:
        photos = softened(photos, new_net(faces, config.size).to(device), config.distil, config.distil_share)
    run.go(photos, drawn, coded, checks, majority(votes[out]))
    return run.averaged.eval()


class Run:
    """The state of a training: everything that a checkpoint holds."""

    def __init__(self, config: PerceptionTraining, net: Perception, device: str) -> None:
        import copy

        self.config, self.device = config, device
        self.net = net.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = copy.deepcopy(self.net).eval().requires_grad_(False)
        self.optimiser = torch.optim.AdamW(self.net.parameters(), lr=config.rate, weight_decay=config.weight_decay)
        self.step = 0
        swapped = [c[:-1] + {"L": "R", "R": "L"}[c[-1]] if c[-1] in "LR" else c for c in COLUMNS]
        self.swap = torch.tensor([COLUMNS.index(c) for c in swapped])
        self.evidence = torch.zeros(len(LABELS), len(COLUMNS))
        for k, column in enumerate(COLUMNS):
            for label, weight in WEAK.get(int(column[2:4]), {}).items():
                self.evidence[LABELS.index(label), k] = weight

    # ---------------------------------------------------------------------------------- the loop

    def go(self, photos: Photos, drawn: Drawn | None, coded: Drawn | None, checks: Photos, truth: np.ndarray) -> None:
        config = self.config
        total = max(1, int(config.epochs * len(photos.crops) / config.batch))
        if not self.resume():
            self.begin_with(config.start)
        config.out.mkdir(parents=True, exist_ok=True)
        saved, began, began_step = time.monotonic(), time.monotonic(), self.step
        sums: dict[str, float] = {}
        summed = 0
        while self.step < total:
            for group in self.optimiser.param_groups:
                group["lr"] = self.rate(total)
            for name, value in self.one(photos, drawn, coded).items():
                sums[name] = sums.get(name, 0.0) + value
            self.step += 1
            summed += 1
            if self.step % config.report_steps == 0 or self.step == total:
                entry = {"step": self.step, "of": total, **{k: round(v / summed, 4) for k, v in sums.items()}}
                entry["faces_per_s"] = round((self.step - began_step) * config.batch / (time.monotonic() - began), 1)
                if self.step % (5 * config.report_steps) == 0 or self.step == total:
                    entry["held_out_accuracy"] = round(accuracy(self.averaged, checks, truth), 4)
                with (config.out / "log.jsonl").open("a", encoding="utf-8") as file:
                    file.write(json.dumps(entry) + "\n")
                log.info("%s", entry)
                sums, summed = {}, 0
            if time.monotonic() - saved > config.save_s or self.step == total:
                self.save()
                saved = time.monotonic()

    def rate(self, total: int) -> float:
        warm = min(1.0, (self.step + 1) / max(1, min(200, total // 10)))
        return self.config.rate * warm * (0.5 + 0.5 * float(np.cos(np.pi * self.step / total))) + 1e-6

    def one(self, photos: Photos, drawn: Drawn | None, coded: Drawn | None = None) -> dict[str, float]:
        """One step. Its random numbers depend on the seed and the step alone, so a resumed run is the same run."""
        config = self.config
        rng = torch.Generator().manual_seed(config.seed * 1_000_003 + self.step)
        torch.manual_seed(config.seed * 1_000_003 + self.step)  # dropout takes no generator
        pick = torch.randint(len(photos.crops), (config.batch,), generator=rng)
        flip = torch.rand(config.batch, generator=rng) < 0.5
        crops, maps = augmented(photos.crops[pick], flip, rng, photos.maps[pick])
        front = torch.where(flip[:, None, None], mirror_front(photos.front[pick]), photos.front[pick])
        front = front + torch.randn(front.shape, generator=rng) * 0.004
        present = photos.present[pick] * (torch.rand(config.batch, 1, generator=rng) >= config.no_points).float()
        shares, count = photos.shares[pick], config.batch
        assert maps is not None
        if config.mix:
            crops, front, present, shares, maps = mixed((crops, front, present, shares, maps), config.mix, rng)
        known = {}  # loss -> (rows of the batch, their truth)
        for name, source, size in (("skin", drawn, config.render_batch), ("coded", coded, config.coded_batch)):
            if source is None:
                continue
            rows = torch.randint(len(source.crops), (size,), generator=rng)
            turned = torch.rand(size, generator=rng) < 0.5
            more, _ = augmented(source.crops[rows], turned, rng, None, coarse=0.6)
            told = source.truth[rows]
            known[name] = (slice(len(crops), len(crops) + size), torch.where(turned[:, None], told[:, self.swap], told))
            crops = torch.cat([crops, more])
        self.net.train()
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
            moved = crops.to(self.device).contiguous(memory_format=torch.channels_last)
            seen = self.net.see(moved, front.to(self.device), present.to(self.device), count)
        losses = {"labels": -(shares.to(self.device) * functional.log_softmax(seen.logits.float(), dim=1)).sum(1).mean()}
        if config.cues:
            losses["cues"] = config.cues * alignment(seen.features.float(), maps.to(self.device))
        skin = seen.skin.float()
        if config.weak:
            wanted = (shares @ self.evidence).to(self.device)
            taught = self.evidence.sum(0) > 0
            related = correlation(skin[:count][:, taught], wanted[:, taught])
            losses["weak"] = config.weak * (1 - related).mean()
        for name, (where, told) in known.items():
            losses[name] = config.skin * squared_error(skin[where], told.to(self.device))
        loss = torch.stack(list(losses.values())).sum()
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.optimiser.step()
        self.average()
        return {name: value.item() for name, value in losses.items()}

    def average(self) -> None:
        keep = min(self.config.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, now in zip(self.averaged.state_dict().values(), self.net.state_dict().values(), strict=True):
                if mean.dtype.is_floating_point:
                    mean.lerp_(now, 1 - keep)
                else:
                    mean.copy_(now)

    # ------------------------------------------------------------------------------ checkpoints

    @property
    def path(self) -> Path:
        return self.config.out / "checkpoint.pt"

    def save(self) -> None:
        state = {
            "net": self.net.state_dict(), "averaged": self.averaged.state_dict(), "step": self.step,
            "optimiser": self.optimiser.state_dict(), "config": settings(self.config),
        }  # fmt: skip
        part = self.path.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.path)

    def begin_with(self, starts: tuple[Path, ...]) -> None:
        """The weights of an earlier run of the same size; a new seed, so that its batches are not drawn again in their order.

        Of several runs that began with the same weights, their mean (model soups: Wortsman et al. 2022, arXiv 2203.05482).
        """
        read = [load_run(self.net, start, "--start") for start in starts]
        if read:
            mean = {k: torch.stack([one[k].float() for one in read]).mean(0).to(v.dtype) for k, v in read[0].items()}
            self.net.load_state_dict(mean)
            self.averaged.load_state_dict(mean)

    def resume(self) -> bool:
        """Go on from this run's own checkpoint, if it has one."""
        if not self.path.exists():
            return False
        state = torch.load(self.path, map_location=self.device, weights_only=True)
        if state["config"] != settings(self.config):
            now, then = settings(self.config), state["config"]
            changed = sorted(k for k in {*now, *then} if now.get(k) != then.get(k))
            raise UsageError(
                f"{self.path} was trained with other settings ({', '.join(changed)}): give another folder with -o"
            )
        self.net.load_state_dict(state["net"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = state["step"]
        log.info("going on from step %d", self.step)
        return True


def settings(config: PerceptionTraining) -> dict[str, Any]:
    """What must be the same for a run to go on: all that changes the weights, in plain types."""
    plain = asdict(config)
    told = ("fer", "coded", "start", "distil", "distil_share", "mix", "ict")  # told below, in their own way
    for name in (*told, "out", "cache", "coded_batch", "threads", "device", "save_s", "report_steps"):
        plain.pop(name)
    kept = {**json.loads(json.dumps(plain)), "fer": [path.name for path in config.fer], "ict": config.ict is not None}
    if config.start:
        kept["start"] = [path.parent.name for path in config.start]
    if config.distil:  # only then, as below: runs from before there was such a setting go on
        kept |= {"distil": [path.parent.name for path in config.distil], "distil_share": config.distil_share}
    if config.mix:
        kept["mix"] = config.mix
    if config.coded:
        kept |= {"coded": [data.said for data in config.coded], "coded_batch": config.coded_batch}
    return kept


def squared_error(read: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Mean square of (N, K) where `known` is a number; 0 where nothing is."""
    there = ~torch.isnan(known)
    return torch.where(there, read - torch.nan_to_num(known), 0.0).square().sum() / there.sum().clamp(min=1)


def alignment(features: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """Mean over faces with a cue map of 1 - cosine(channel mean (N, C, h, w), map (N, h, w))."""
    seen, wanted = features.mean(dim=1).flatten(1), maps.flatten(1)
    valid = (wanted.amax(dim=1) > 0).float()
    cosine = functional.cosine_similarity(seen, wanted, dim=1, eps=1e-8)
    return ((1 - cosine) * valid).sum() / valid.sum().clamp(min=1)


def correlation(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    a, b = a - a.mean(dim=0), b - b.mean(dim=0)
    return (a * b).sum(dim=0) / (a.norm(dim=0) * b.norm(dim=0) + 1e-3)


def accuracy(net: Perception, photos: Photos, truth: np.ndarray) -> float:
    """Against the majority (N,), -1 left out."""
    known = truth >= 0
    return float((probabilities(net.eval(), photos).argmax(axis=1) == truth)[known].mean()) if known.any() else float("nan")
