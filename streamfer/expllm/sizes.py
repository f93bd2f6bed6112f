"""The sizes of ExpLLM, as data: what it is built on, how much of that is trained, and for how long.

    nano      decoder of 9 M weights from scratch, eye: the perception network                 everything is trained
    smollm2   SmolLM2-135M-Instruct from a local copy, the same eye                            LoRA, projector, new tokens
    7b        Vicuna-7B or Qwen, eye: DINOv2 ViT-L/14 at 224 px, both from local folders       LoRA on both, projector, new tokens

`7b` has ExpLLM's setting (Lan et al., IEEE TMM 2025; released scripts): 256 patches through two layers with GELU, r = 8,
alpha = 16, dropout 0.05 on language model and encoder, AdamW at 5e-4 with a weight decay of 0.05, batches of 128, and three
label turns to one description. Ours besides: the evidence table, the difference from the onset, the label after the text.
Steps and rates of the others were chosen on two cores (benchmarks/LOG.md).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from streamfer.errors import UsageError


@dataclass(frozen=True, slots=True)
class Lora:
    """Low-rank adapters on every linear layer (Hu et al. 2021)."""

    rank: int = 8
    alpha: int = 16
    dropout: float = 0.05


@dataclass(frozen=True, slots=True)
class Size:
    """`needs`: checkpoints that must be given. `quick` and `full` are ExpLLMTraining's options for a CPU and a GPU."""

    name: str
    needs: tuple[Literal["lm", "eye"], ...] = ()
    lora: Lora = Lora()
    positions: int = 512
    answer: int = 320
    """Longest answer in tokens. Nano's pieces are half as many as those of a general vocabulary."""
    quick: dict[str, Any] = field(default_factory=dict)
    full: dict[str, Any] = field(default_factory=dict)

    def schedule(self, name: str) -> dict[str, Any]:
        options = {"quick": self.quick, "full": self.full}[name]
        if not options:
            raise UsageError(f"{self.name} has no schedule '{name}': it is too large for a CPU; take --schedule full")
        return options


SIZES: dict[str, Size] = {
    "nano": Size(
        "nano",
        quick={"language": 1100, "projector_steps": 150, "all": 900},  # about two hours of two cores
        full={
            "width": 512, "layers": 8, "heads": 8, "inner": 1408, "language": 12000, "projector_steps": 1500, "all": 12000,
            "batch": 128,
        },
    ),
    "smollm2": Size(
        "smollm2", ("lm",), Lora(dropout=0.0), positions=1024, answer=480,
        quick={"projector": "mlp", "language": 0, "projector_steps": 20, "all": 130, "batch": 4, "rate": 2e-3, "label_turns": 0.05,
               "families": (1.0, 0.0, 0.0), "label_first": 0.0, "no_table": 0.0},
        full={"projector": "mlp", "language": 0, "projector_steps": 300, "all": 6000, "batch": 64, "rate": 1e-3},
    ),
    "7b": Size(
        "7b", ("lm", "eye"), positions=2048, answer=640,
        full={"projector": "patches", "language": 0, "projector_steps": 1000, "all": 6000, "batch": 128, "at_once": 4,
              "rate": 5e-4, "label_turns": 0.75},
    ),
}  # fmt: skip
