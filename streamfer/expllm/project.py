"""ExpLLM's two projectors in numpy: what the encoder saw -> vectors in the place of the <img> tokens.

`mlp` and `mpp` as model.py defines and trains them (ExpLLM; FEALLM's multi-perspective projector with its local clue
aggregator); the sums are the same, a test holds them to torch's. They run once for each text, so plain numpy is fast enough.
"""

from __future__ import annotations

import numpy as np

from streamfer.expllm.looks import CELLS, EARLY, PATCH, ArrayLooks

Weights = dict[str, np.ndarray]
HEADS = 4
"""Of each attention in `mpp`."""


def project(w: Weights, kind: str, looks: ArrayLooks) -> np.ndarray:
    """Looks of N key moments -> (N, positions, width). `w`: the model's weights by name, float32."""
    n = len(looks)
    both = np.concatenate(
        [looks.apex.reshape(n, -1, CELLS * CELLS), looks.change.reshape(n, -1, CELLS * CELLS)], axis=2
    ).transpose(0, 2, 1)
    whole = _two(w, "projector.whole", looks.embedding)[:, None]
    if kind == "mlp":
        return np.concatenate([_two(w, "projector.cells", both) + w["projector.place"], whole], axis=1)
    asked = _linear(w, "projector.query", both) + w["projector.place"]
    early = np.concatenate([looks.early, looks.early_change], axis=1)
    shallow = _linear(w, "projector.shallow", early.reshape(n, early.shape[1], -1).transpose(0, 2, 1))
    local, token = _clues(w, early, looks.points)
    for step, memory in enumerate((shallow, local, None)):
        source = asked if memory is None else memory
        asked = _norm(w, f"projector.norms.{step}", asked + _attention(w, f"projector.steps.{step}", asked, source))
    return np.concatenate([_two(w, "projector.out", asked), whole, token], axis=1)


def _clues(w: Weights, early: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The local clue aggregator: 16 patches around landmarks, a product each, attention among them."""
    at = "projector.clues"
    patches = _sampled(early, points[:, :, None] + w[f"{at}.offsets"])  # (N, C, REGIONS, 9)
    flat = patches.transpose(0, 2, 1, 3).reshape(len(early), points.shape[1], -1)
    local = gelu(np.matmul(flat.transpose(1, 0, 2), w[f"{at}.weight"]).transpose(1, 0, 2) + w[f"{at}.bias"])
    local = _norm(w, f"{at}.norm", local + _attention(w, f"{at}.attention", local, local))
    return local, _linear(w, f"{at}.token", local.reshape(len(early), -1))[:, None]


def _sampled(maps: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """(N, C, EARLY, EARLY) at grid (N, R, 9, 2) of x and y, -1 to 1 -> (N, C, R, 9): bilinear, nothing beyond the edge.

    PyTorch's grid_sample with align_corners False and zero padding.
    """
    assert maps.shape[-1] == EARLY and grid.shape[2] == PATCH * PATCH
    place = ((grid + 1) * EARLY - 1) / 2
    low = np.floor(place).astype(int)
    part = (place - low).astype(np.float32)
    rows = np.arange(len(maps))[:, None, None]
    total = np.zeros((len(maps), *grid.shape[1:3], maps.shape[1]), np.float32)
    for dx in (0, 1):
        for dy in (0, 1):
            x, y = low[..., 0] + dx, low[..., 1] + dy
            weight = np.abs(1 - dx - part[..., 0]) * np.abs(1 - dy - part[..., 1])
            weight = weight * ((x >= 0) & (x < EARLY) & (y >= 0) & (y < EARLY))
            total += weight[..., None] * maps[rows, :, y.clip(0, EARLY - 1), x.clip(0, EARLY - 1)]
    return total.transpose(0, 3, 1, 2)


def _attention(w: Weights, name: str, asked: np.ndarray, source: np.ndarray) -> np.ndarray:
    """torch.nn.MultiheadAttention, batch first."""
    width = asked.shape[-1]
    into, bias = w[f"{name}.in_proj_weight"], w[f"{name}.in_proj_bias"]
    q, k, v = (
        _heads(x @ into[i * width : (i + 1) * width].T + bias[i * width : (i + 1) * width])
        for i, x in enumerate((asked, source, source))
    )
    scores = q @ k.transpose(0, 1, 3, 2) / np.float32(np.sqrt(width / HEADS))
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    mixed = scores / scores.sum(axis=-1, keepdims=True) @ v
    return _linear(w, f"{name}.out_proj", mixed.transpose(0, 2, 1, 3).reshape(asked.shape))


def _heads(x: np.ndarray) -> np.ndarray:
    return x.reshape(*x.shape[:2], HEADS, -1).transpose(0, 2, 1, 3)


def _linear(w: Weights, name: str, x: np.ndarray) -> np.ndarray:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def _two(w: Weights, name: str, x: np.ndarray) -> np.ndarray:
    return _linear(w, f"{name}.2", gelu(_linear(w, f"{name}.0", x)))


def _norm(w: Weights, name: str, x: np.ndarray) -> np.ndarray:
    centred = x - x.mean(axis=-1, keepdims=True)
    even = centred / np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + np.float32(1e-5))
    return even * w[f"{name}.weight"] + w[f"{name}.bias"]


def gelu(x: np.ndarray) -> np.ndarray:
    """x times the normal distribution's share below x; its error function by Abramowitz & Stegun 7.1.26 (error < 1.5e-7)."""
    z = np.abs(x) / np.sqrt(2, dtype=np.float32)
    t = 1 / (1 + 0.3275911 * z)
    poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    erf = np.sign(x) * (1 - poly * np.exp(-z * z))
    return (0.5 * x * (1 + erf)).astype(np.float32)
