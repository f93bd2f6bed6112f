"""Class activation maps: where in the picture a network found what it says, and how well that meets the AU cues.

    maps = class_activation(features, weights, classes)            # numpy: from an ONNX model's two outputs
    maps = gradient_cam(module, layer, inputs, classes)            # torch: any layer of any classifier
    cam_cos(maps, cues), att_cos(features, cues)                   # (N,) agreement with cues.heatmaps

A_c is channel c of a layer's feature map, y the score of the class before the softmax, g_c = dy/dA_c. Every map ends in
a ReLU (CAM excepted) and is stretched to 0-1; an even one becomes zeros.

* CAM: sum_c w_c A_c with the weights of a linear classifier behind average pooling (Zhou et al., CVPR 2016).
* GradCAM++: sum_c A_c sum_ij alpha_c relu(g_c), alpha = g^2 / (2 g^2 + g^3 sum_ab A_c) (Chattopadhay et al., WACV 2018).
* LayerCAM: sum_c relu(g_c) A_c, cell by cell (Jiang et al., IEEE TIP 2021).

Behind average pooling and a linear classifier g_c = w_c / (h w) everywhere, so all three follow from features and
weights: no torch and no backward pass is needed at inference. They are tested to be the same.

CAM-COS and ATT-COS are those of Belharbi et al. (2024; sbelharbi/interpretable-fer-aus, dlib/learning/inference_wsol.py):
the map of the **true** class, or the mean over the channels, is brought to the size of the cue map (torch's bilinear
interpolation as they call it; `_resample`) and compared with it by the cosine. A cosine of two maps that are nowhere
negative is high soon: two random ones reach 0.75. A map shows where a score came from, not why, nor that it is right.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from streamfer.records import LABELS

if TYPE_CHECKING:
    import torch

Method = Literal["cam", "gradcam++", "layercam"]

_EPS = 1e-8  # of the cosine, as published


def class_activation(
    features: np.ndarray, weights: np.ndarray, classes: np.ndarray, method: Method = "layercam"
) -> np.ndarray:
    """(N, h, w) float32, 0-1, from `features` (N, C, h, w), the classifier's `weights` (K, C) and a class for each.

    True for a linear classifier behind average pooling over all of h, w; its bias plays no part.
    """
    features, chosen = np.asarray(features, np.float32), np.asarray(weights, np.float32)[np.asarray(classes)]
    gradients = np.broadcast_to((chosen / np.prod(features.shape[2:]))[:, :, None, None], features.shape)
    return _combined(features, gradients, method)


def gradient_cam(
    module: torch.nn.Module,
    layer: torch.nn.Module,
    inputs: torch.Tensor,
    classes: np.ndarray,
    method: Method = "layercam",
    scores: Callable[[Any], torch.Tensor] = lambda output: output,
) -> np.ndarray:
    """(N, h, w) float32, 0-1, at the output of `layer`, a part of `module`, for a batch `inputs`.

    `scores` picks the (N, K) class scores out of what the module returns. The module should be in eval mode: with
    batch statistics one sample's map would depend on the others. "cam" takes the mean gradient as the weight of a
    channel (GradCAM without its ReLU), which is CAM where CAM is defined.
    """
    import torch

    caught: list[torch.Tensor] = []
    hook = layer.register_forward_hook(lambda _, __, output: caught.append(output))
    try:
        with torch.enable_grad():
            given = inputs if inputs.requires_grad else inputs.detach().clone().requires_grad_()
            table = scores(module(given))
            own = table.gather(1, torch.as_tensor(np.asarray(classes), device=table.device)[:, None])
            (gradients,) = torch.autograd.grad(own.sum(), caught[-1:])
    finally:
        hook.remove()
    return _combined(caught[-1].detach().float().cpu().numpy(), gradients.float().cpu().numpy(), method)


def _combined(features: np.ndarray, gradients: np.ndarray, method: Method) -> np.ndarray:
    if method == "layercam":
        return normalised(np.maximum((np.maximum(gradients, 0) * features).sum(axis=1), 0))
    if method == "cam":
        return normalised((gradients.mean(axis=(2, 3), keepdims=True) * features).sum(axis=1))
    # g^2 / (2 g^2 + g^3 sum A) without the g^2 that underflows; where g is 0 its relu makes alpha count for nothing
    divisor = 2 + gradients * features.sum(axis=(2, 3), keepdims=True)
    alpha = np.divide(1, divisor, out=np.zeros_like(divisor), where=(gradients > 0) & (np.abs(divisor) > _EPS))
    weights = (alpha * np.maximum(gradients, 0)).sum(axis=(2, 3), keepdims=True)
    return normalised(np.maximum((weights * features).sum(axis=1), 0))


def normalised(maps: np.ndarray) -> np.ndarray:
    """Each map (..., h, w) stretched to 0-1, float32; zeros where it is even or not finite."""
    maps = np.asarray(maps, np.float32)
    low = maps.min(axis=(-2, -1), keepdims=True)
    span = maps.max(axis=(-2, -1), keepdims=True) - low
    good = np.isfinite(span) & (span > 0)
    with np.errstate(invalid="ignore"):
        return np.where(good, (maps - low) / np.where(good, span, 1), 0).astype(np.float32)


# --------------------------------------------------------------------------------- agreement with cues


def cam_cos(cams: np.ndarray, cues: np.ndarray) -> np.ndarray:
    """(N,) cosines of CAMs (N, h, w), of the true class and 0-1, with cue maps (N, S, S); NaN where there is no cue.

    S should be the side of the network's input (the publication's is 224): a smaller one blurs less.
    """
    cams = np.clip(_resample(cams, cues.shape[-1], aligned=False), 0, 1)
    return _cosine(cams, cues)


def att_cos(features: np.ndarray, cues: np.ndarray) -> np.ndarray:
    """(N,) cosines of the channel mean of features (N, C, h, w), lifted to 0 where negative, with cues (N, S, S)."""
    attention = np.asarray(features, np.float32).mean(axis=1)
    low, high = (f(axis=(1, 2), keepdims=True) for f in (attention.min, attention.max))
    attention = np.clip(_resample(attention, cues.shape[-1], aligned=True), low, high) - np.minimum(low, 0)
    return _cosine(attention, cues)


def per_class(values: np.ndarray, expressions: np.ndarray) -> tuple[dict[str, float], float]:
    """Mean of each expression that has values, and the mean of those means, as the publication reports them.

    `expressions` (N,) in the order of LABELS. NaN values (no cue) are left out, so neutral is never in it.
    """
    values, expressions = np.asarray(values, np.float64), np.asarray(expressions)
    told = np.isfinite(values)
    means = {LABELS[e]: float(values[told & (expressions == e)].mean()) for e in np.unique(expressions[told])}
    return means, float(np.mean(list(means.values()))) if means else float("nan")


def _cosine(maps: np.ndarray, cues: np.ndarray) -> np.ndarray:
    a, b = (np.asarray(m, np.float64).reshape(len(m), -1) for m in (maps, cues))
    lengths = np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), _EPS)
    return np.where(b.any(axis=1), (a * b).sum(axis=1) / lengths, np.nan)


def _resample(maps: np.ndarray, size: int, aligned: bool) -> np.ndarray:
    """(N, size, size) by torch's bilinear interpolation: as the publication calls it, `aligned` for attention."""
    rows, columns = (_resampling(side, size, aligned) for side in maps.shape[-2:])
    return rows @ np.asarray(maps, np.float32) @ columns.T


@cache
def _resampling(before: int, size: int, aligned: bool) -> np.ndarray:
    """(size, before) weights of one axis.

    `aligned`: F.interpolate(align_corners=True, antialias=True), in which torch puts new cell i at (i + 0.5) times
    the ratio of the *aligned* lengths and averages over a triangle; else align_corners=False without antialias.
    """
    if not aligned:
        at = np.clip((np.arange(size) + 0.5) * before / size - 0.5, 0, before - 1)
        return np.maximum(1 - np.abs(at[:, None] - np.arange(before)), 0).astype(np.float32)
    ratio = (before - 1) / (size - 1) if size > 1 else 0.0
    width = max(ratio, 1.0)
    centre = ratio * (np.arange(size) + 0.5)
    cells = np.arange(before)
    first = np.maximum((centre - width + 0.5).astype(int), 0)
    last = np.minimum((centre + width + 0.5).astype(int), before)
    inside = (cells >= first[:, None]) & (cells < last[:, None])
    weights = np.where(inside, np.maximum(1 - np.abs(cells + 0.5 - centre[:, None]) / width, 0), 0)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
