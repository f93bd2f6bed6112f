"""Train Des2Exp on the engine's texts: multinomial logistic regression with weight decay, a tenth of the texts held out.

reader, accuracy = train((Path("cot.jsonl"),))
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from streamfer.errors import UsageError
from streamfer.expllm.des2exp import BUCKETS, Des2Exp, features
from streamfer.records import LABELS
from streamfer.training.expllm import load_samples


def train(data: tuple[Path, ...], epochs: int = 12, seed: int = 0) -> tuple[Des2Exp, float]:
    """The reader, and its accuracy on the texts held out."""
    samples = [sample for path in data for sample in load_samples(path)[0]]
    if len(samples) < 20:
        raise UsageError(f"{len(samples)} texts are too few to learn from: `streamfer cot build` makes more")
    rows = [torch.from_numpy(features(sample.cot)) for sample in samples]
    labels = torch.tensor([LABELS.index(sample.cot.label) for sample in samples])
    rng = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(samples), generator=rng)
    held, kept = order[: len(order) // 10], order[len(order) // 10 :]
    table = torch.nn.EmbeddingBag(BUCKETS, len(LABELS), mode="sum")
    torch.nn.init.zeros_(table.weight)
    bias = torch.zeros(len(LABELS), requires_grad=True)
    optimiser = torch.optim.AdamW([table.weight, bias], lr=0.02, weight_decay=0.05)
    for _ in range(epochs):
        for part in kept[torch.randperm(len(kept), generator=rng)].split(256):
            loss = functional.cross_entropy(_logits(table, bias, [rows[n] for n in part.tolist()]), labels[part])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    with torch.no_grad():
        right = _logits(table, bias, [rows[n] for n in held.tolist()]).argmax(dim=1) == labels[held]
    weights = table.weight.detach().numpy().astype(np.float32)
    return Des2Exp(weights, bias.detach().numpy()), float(right.float().mean())


def _logits(table: torch.nn.EmbeddingBag, bias: torch.Tensor, rows: list[torch.Tensor]) -> torch.Tensor:
    lengths = torch.tensor([0, *(len(row) for row in rows[:-1])]).cumsum(0)
    return table(torch.cat(rows), lengths) + bias
