"""Spatial AU cues: which AUs an expression is made of, and maps of where they show on a face.

    points = landmarks68(landmarks)                        # (N, 478, 3) MediaPipe -> (N, 68, 2)
    maps = heatmaps(points, labels, size=28, crop_px=112)  # (N, 28, 28), 0-1; rows of zeros where there is no cue

After Belharbi, Pedersoli, Koerich, Bacon, Granger: "Guided Interpretable Facial Expression Recognition via Spatial
Action Unit Cues" (2024, arXiv 2402.00281; code MIT). The steps are theirs: fill the ellipses of each AU (regions.py),
bring them to 28 x 28, blur by a box of 3 x 3, take the largest value over the AUs, stretch to 0-1. Neutral has no
map, as there: leave such samples out of an alignment loss.

`strict=True` gives the publication's maps with its errors (published.py): AU5 in place of AU10 in disgust, AU20 at the
wrong mouth point, lengths fixed in pixels of a crop of 256 whatever the face's size, and no row for contempt.

It promises no more than "an expression like this is often made of movements there". The map is drawn from the label
and the landmarks; nothing in it was seen in the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from streamfer.action_units import facs
from streamfer.expression.regions import ONE_ELLIPSE, REGIONS, UNSIDED, face_size
from streamfer.faces.align import IBUG68
from streamfer.records import LABELS, Label

CODEBOOK: dict[Label, tuple[int, ...]] = {
    "neutral": (),
    "happiness": (6, 12, 25),
    "sadness": (1, 4, 6, 15, 17),
    "surprise": (1, 2, 5, 26, 27),
    "fear": (1, 2, 4, 5, 20, 25, 26, 27),
    "disgust": (9, 10, 16, 17, 25, 26),
    "anger": (4, 5, 7, 10, 17, 23, 24, 25, 26),
    "contempt": (12, 14),
}
"""Expression -> AUs, in the order of LABELS. Belharbi et al., figure of the codebook, with AU10 (upper lip raiser) in
disgust: the figure's number is 10, its name and the published code say upper *lid* raiser. Contempt is not in theirs:
12 and 14 after EMFACS (there on one side, R12A+R14A; the side cannot be known from the label, so both are shown)."""

PUBLISHED_CODEBOOK: dict[Label, tuple[int, ...]] = {
    **{label: aus for label, aus in CODEBOOK.items() if label != "contempt"},
    "disgust": (5, 9, 16, 17, 25, 26),
}
"""As the published code has it: seven labels, AU5 in disgust. Without neutral these are the paper's six."""

GRID = 28
"""Cells along a side of the map before it is brought to the size asked for, as published."""

_LINES = 4


def landmarks68(landmarks: np.ndarray) -> np.ndarray:
    """MediaPipe's (N, 478, 2 or 3) -> the (N, 68, 2) iBUG points, float32; the table is `faces.align.IBUG68`."""
    return np.ascontiguousarray(np.asarray(landmarks, np.float32)[:, list(IBUG68), :2])


def heatmaps(
    landmarks: np.ndarray, expressions: np.ndarray, size: int, strict: bool = False, crop_px: float | None = None
) -> np.ndarray:
    """Cue maps (N, size, size) float32, 0-1, of N faces with an expression each.

    `landmarks` (N, 68, 2) in px of the crop, counted from its corner; `expressions` (N,) int in the order of LABELS;
    `crop_px` is the crop's side (default: `size`). A row is all zero where there is no cue: neutral, landmarks that
    are not finite, every region outside of the crop (and contempt when strict). Raises ValueError on a wrong shape.
    """
    points, side = _points(landmarks), float(crop_px or size)
    chosen = np.asarray(expressions)
    if chosen.shape != (len(points),) or (len(chosen) and not (chosen.min() >= 0 and chosen.max() < len(LABELS))):
        raise ValueError(
            f"expressions must be {len(points)} numbers 0-{len(LABELS) - 1} in the order of records.LABELS"
        )
    if strict:
        from streamfer.expression import published

        codes = [PUBLISHED_CODEBOOK.get(LABELS[e], ()) for e in chosen]
        drawn = [published.cue_map(p, aus, side) for p, aus in zip(points, codes, strict=True)]
        return _stretch(_resized(np.stack(drawn), size)) if drawn else np.zeros((0, size, size), np.float32)
    out = np.zeros((len(points), GRID, GRID), np.float32)
    wanted = [{REGIONS[au] for au in CODEBOOK[label]} for label in LABELS]
    for region, au in {REGIONS[au]: au for au in sorted(REGIONS)}.items():  # AUs that share a region are drawn once
        rows = np.flatnonzero(np.array([region in regions for regions in wanted])[chosen])
        if len(rows):
            out[rows] = np.maximum(out[rows], _region(points[rows], au, None, side))
    return _stretch(_resized(out, size))


def au_heatmap(landmarks: np.ndarray, aus: Sequence[int | str], size: int, crop_px: float | None = None) -> np.ndarray:
    """The map (N, size, size) of any AUs together, made as `heatmaps` makes those of an expression.

    `aus` are numbers, or columns such as "AU12_L" that show one side only. AUs without a region (`regions.REGIONS`)
    are left out; zeros when none is left.
    """
    each = au_heatmaps(landmarks, aus, size, crop_px)
    return _stretch(each.max(axis=1, initial=0.0))


def au_heatmaps(landmarks: np.ndarray, aus: Sequence[int | str], size: int, crop_px: float | None = None) -> np.ndarray:
    """One map for each AU, (N, K, size, size) float32: the share of each cell that its region covers, blurred."""
    points, side = _points(landmarks), float(crop_px or size)
    maps = np.zeros((len(points), len(aus), GRID, GRID), np.float32)
    drawn: dict[object, np.ndarray] = {}  # AUs that share a region are drawn once
    for k, name in enumerate(aus):
        au, side_name = (name, None) if isinstance(name, int) else facs.parse(name)
        if au not in REGIONS:
            continue
        which = None if au in UNSIDED else {"right": 0, "left": 1}.get(side_name or "")
        region = (REGIONS[au], which, au in ONE_ELLIPSE)
        if region not in drawn:
            drawn[region] = _region(points, au, which, side)
        maps[:, k] = drawn[region]
    return _resized(maps, size)


# ------------------------------------------------------------------------------------------ drawing


def _points(landmarks: np.ndarray) -> np.ndarray:
    points = np.asarray(landmarks, np.float32)
    if points.ndim != 3 or points.shape[1:] != (68, 2):
        raise ValueError(
            f"landmarks must be (N, 68, 2), not {points.shape}: landmarks68() makes them from MediaPipe's 478"
        )
    return points


def _region(points: np.ndarray, au: int, which: int | None, side_px: float) -> np.ndarray:
    """(N, GRID, GRID) float32: how much of each cell the AU's ellipses (or one of them) cover, blurred 3 x 3."""
    finite = np.isfinite(points).all(axis=(1, 2))
    placed = np.where(finite[:, None, None], points, 0.0)
    ellipses = REGIONS[au](placed, face_size(placed)) * (GRID / side_px)
    if which is not None:
        ellipses = ellipses[:, which : which + 1]
    elif au in ONE_ELLIPSE:
        ellipses = ellipses[:, :1]
    covered = _covered(ellipses.astype(np.float32)).max(axis=1)
    covered[~finite] = 0.0
    return _blurred(covered)


def _covered(ellipses: np.ndarray) -> np.ndarray:
    """Share of each cell inside of each of (..., 4) ellipses, (..., GRID, GRID): exact along x, 4 lines a cell along y."""
    x, y, rx, ry = (ellipses[..., i, None] for i in range(4))
    lines = (np.arange(GRID * _LINES, dtype=np.float32) + 0.5) / _LINES
    with np.errstate(divide="ignore", invalid="ignore"):
        across = ((lines - y) / ry) ** 2
        half = np.where(across < 1, rx * np.sqrt(np.maximum(1 - across, 0)), 0.0)  # (..., lines): half the chord
    edges = np.arange(GRID + 1, dtype=np.float32)
    chords = (*half.shape[:-1], GRID, _LINES)
    begin, end = (x - half).reshape(chords), (x + half).reshape(chords)
    # the length of a chord left of an edge, summed over the lines of a cell; neighbours' difference is the cell's share
    left_of = np.zeros((*half.shape[:-1], GRID, GRID + 1), np.float32)
    for line in range(_LINES):
        part = np.maximum(edges, begin[..., line, None])
        left_of += np.minimum(part, end[..., line, None], out=part)
    return np.diff(left_of, axis=-1) / _LINES


def _blurred(maps: np.ndarray) -> np.ndarray:
    """Box of 3 x 3; beyond the border lies the mirror image of what is before it, as OpenCV's default has it."""
    for axis in (-2, -1):
        moved = np.moveaxis(maps, axis, 0)
        out = moved.copy()
        out[1:] += moved[:-1]
        out[0] += moved[1]
        out[:-1] += moved[1:]
        out[-1] += moved[-2]
        maps = np.moveaxis(out / 3, 0, axis)
    return maps


@cache
def _weights(before: int, size: int) -> np.ndarray:
    """(size, before): what each old cell gives to each new one. Averages when shrinking, linear when enlarging."""
    import cv2

    how = cv2.INTER_AREA if size < before else cv2.INTER_LINEAR
    return cv2.resize(np.eye(before, dtype=np.float32), (before, size), interpolation=how)


def _resized(maps: np.ndarray, size: int) -> np.ndarray:
    if maps.shape[-1] == size:
        return maps
    weights = _weights(maps.shape[-1], size)
    return weights @ maps @ weights.T


def _stretch(maps: np.ndarray) -> np.ndarray:
    """Each map to 0-1. An even one has nothing to show: zeros."""
    low = maps.min(axis=(-2, -1), keepdims=True)
    span = maps.max(axis=(-2, -1), keepdims=True) - low
    return np.where(span > 1e-6, (maps - low) / np.where(span > 1e-6, span, 1), 0).astype(np.float32)
