"""Adapters: what ExpLLM trains on top of other people's checkpoints, and files that know which ones they belong to.

    model, tokenizer = built(size, {"lm": folder}, lora, dtype)     # frozen but for LoRA, the projector and the new tokens
    save_adapter(model, out, bases, lora, facts)                    # what was trained, and nothing of the bases
    model, tokenizer, facts = load_adapter(out)                     # merged; another base than the recorded one is refused

LoRA: Hu et al. 2021, by peft. A merged model is as fast as its base.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from streamfer.errors import ModelContract, ModelMissing
from streamfer.expllm.encoding import CODES, IMAGE, SPECIALS
from streamfer.expllm.model import ExpLLM, ModelSize
from streamfer.expllm.patches import Patches, vision_model
from streamfer.expllm.pretrained import Base, fingerprint, language_model, line_of, tables_of
from streamfer.expllm.sizes import Lora

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel


def adapted(lm: PreTrainedModel, lora: Lora, trained: Iterable[int] = ()) -> PreTrainedModel:
    """The model frozen, with LoRA on its linear layers and the rows `trained` of its vocabulary learning too."""
    from peft import LoraConfig, get_peft_model

    rows = list(trained)
    tables: dict[str, list[int]] | None = None
    if rows:
        tables = {_name(lm, lm.get_input_embeddings()): rows}
        if len(tables_of(lm)) > 1:
            tables[_name(lm, lm.get_output_embeddings())] = rows
    config = LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules="all-linear", trainable_token_indices=tables
    )  # fmt: skip
    return get_peft_model(lm, config)  # type: ignore[return-value]


def _name(model: torch.nn.Module, wanted: torch.nn.Module) -> str:
    return next(name for name, module in model.named_modules() if module is wanted).rpartition(".")[2]


def save_adapter(
    model: ExpLLM, folder: Path, bases: dict[str, Base], lora: Lora, facts: dict[str, Any],
    dtype: torch.dtype = torch.float16,
) -> None:  # fmt: skip
    """model.safetensors with what was trained, config.json with the bases it belongs to."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    state = {name: p.detach().to("cpu", dtype).contiguous() for name, p in learned(model).items()}
    part = folder / "model.safetensors.part"
    save_file(state, part, metadata={"format": "pt"})
    part.replace(folder / "model.safetensors")
    told = {
        "size": asdict(model.size),
        "bases": {role: asdict(base) for role, base in bases.items()},
        "lora": asdict(lora),
    }
    (folder / "config.json").write_text(json.dumps({**told, **facts}, indent=1) + "\n", encoding="utf-8")


def learned(model: ExpLLM) -> dict[str, torch.nn.Parameter]:
    """What an adapter is made of: everything but the frozen weights of its bases."""
    frozen = ("lm.", "projector.vision.")
    ours = ("lora_", "trainable_tokens_delta")
    return {
        name: p for name, p in model.named_parameters() if not name.startswith(frozen) or any(part in name for part in ours)
    }  # fmt: skip


def located(base: Base, role: str, folder: Path, elsewhere: Path | None) -> Path:
    """Where the base lies: as recorded, or `elsewhere` (it, or in it). Raises ModelMissing or ModelContract."""
    places = [Path(base.path)] if elsewhere is None else [elsewhere, elsewhere / base.name, elsewhere / role]
    there = [place for place in places if (place / "config.json").is_file() and any(place.glob("*.safetensors"))]
    if not there:
        raise ModelMissing(
            f"{folder} is an adapter for {base.name}, which is not at {places[0]}: say where with explain.base"
        )
    wrong = []
    for place in there:
        digest, size = fingerprint(place)
        if (digest, size) == (base.digest, base.bytes):
            return place
        wrong.append(f"{place} ({size} bytes, digest {digest})")
    raise ModelContract(
        f"{folder} is an adapter for {base.name} ({base.bytes} bytes, digest {base.digest}), not for {', '.join(wrong)}"
    )


def load_adapter(
    folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32, elsewhere: Path | None = None
) -> tuple[ExpLLM, Tokenizer, dict[str, Any]]:
    """The base with the adapter merged into it, its tokenizer and facts."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        facts = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        size = ModelSize(**facts.pop("size"))
        bases = {role: Base(**told) for role, told in facts.pop("bases").items()}
        lora = Lora(**facts.pop("lora"))
        state = load_file(folder / "model.safetensors")
    except (ValueError, TypeError, KeyError, SafetensorError, OSError) as error:
        raise ModelContract(f"{folder} cannot be read as an adapter of ExpLLM: {line_of(error)}") from None
    found = {role: located(base, role, folder, elsewhere) for role, base in bases.items()}
    model, tokenizer = built(size, found, lora, dtype)
    wanted = {name: p.shape for name, p in learned(model).items()}
    given = {name: tensor.shape for name, tensor in state.items()}
    if wanted != given:
        other = sorted(name for name in {*wanted, *given} if wanted.get(name) != given.get(name))
        raise ModelContract(f"{folder}: its weights are those of another model: {other[:3]}")
    model.load_state_dict(state, strict=False)
    return merged(model).to(device, dtype).eval(), tokenizer, facts


def built(size: ModelSize, found: dict[str, Path], lora: Lora, dtype: torch.dtype) -> tuple[ExpLLM, Tokenizer]:
    """ExpLLM on its bases, adapters not trained yet. Widths and the vocabulary are the base's, whatever `size` says."""
    lm, tokenizer = language_model(found["lm"], dtype)
    ids = tokenizer.get_vocab()
    size = replace(size, vocabulary=len(ids), width=tables_of(lm)[0].shape[1])
    rows = [n for token, n in sorted(ids.items(), key=lambda item: item[1]) if token in {*SPECIALS, *CODES}]
    projector = None
    if "eye" in found:
        vision = vision_model(found["eye"], dtype)
        size = replace(size, features=int(vision.config.hidden_size))
        projector = Patches(size, adapted(vision, lora))
    return ExpLLM(size, adapted(lm, lora, rows), ids[IMAGE], projector), tokenizer


def merged(model: ExpLLM) -> ExpLLM:
    """Adapters added to the weights: no longer trainable apart from their base."""
    lm: Any = model.lm
    model.lm = lm.merge_and_unload()
    if isinstance(model.projector, Patches):
        vision: Any = model.projector.vision
        model.projector.vision = vision.merge_and_unload()
    return model
