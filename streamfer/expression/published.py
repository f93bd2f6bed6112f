"""The AU cue map exactly as published, errors and all: what `cues.heatmaps(strict=True)` draws.

Reproduced from the description of sbelharbi/interpretable-fer-aus (MIT), dlib/face_landmarks/action_units.py: whole
pixels on a picture of 256 x 256, landmarks cut to integers, lengths that do not know how large the face is, one
filled ellipse after the other, shrunk to 28 x 28 without averaging, blurred by a box of 3 x 3, enlarged again, the
largest value over the AUs. A crop of another size is brought to 256 first.

Kept as they are there: AU20's second ellipse between points 50 and 10; AU17 on half of the chin; the lids' edges from
one point each; AU4's height that depends on which way the head leans. AU10 for AU5 in disgust is in the codebook.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SIDE_PX, GRID = 256, 28

Ellipse = tuple[tuple[int, int], tuple[int, int]]  # centre, half axes


def cue_map(points: np.ndarray, aus: Sequence[int], crop_px: float) -> np.ndarray:
    """(256, 256) float32, 0-255, from (68, 2) points in px of a crop; zeros where there is nothing to show."""
    import cv2

    out = np.zeros((SIDE_PX, SIDE_PX), np.float32)
    if not np.isfinite(points).all():
        return out
    whole = [(int(x), int(y)) for x, y in points * (SIDE_PX / crop_px)]
    for au in aus:
        canvas = np.full((SIDE_PX, SIDE_PX), 1e-4, np.float64)
        for centre, axes in ellipses(whole, au):
            cv2.ellipse(canvas, centre, axes, 0, 0, 360, (255,), cv2.FILLED)
        if canvas.max() > 1:  # else it lies outside, and this AU is left out
            small = cv2.blur(cv2.resize(canvas, (GRID, GRID)), (3, 3))
            out = np.maximum(out, cv2.resize(small, (SIDE_PX, SIDE_PX)).astype(np.float32))
    return out


def ellipses(p: Sequence[tuple[int, int]], au: int) -> list[Ellipse]:
    """The ellipses of one AU from 68 whole-numbered points in a picture of 256 x 256."""
    w = SIDE_PX
    if au in (1, 2):
        return [(p[i], (round(w / 8), round(w / 10))) for i in ((20, 23) if au == 1 else (18, 25))]
    if au == 4:
        return [_spanned(p[19], p[24], least=10)]
    if au in (5, 7, 43):
        more = 0 if au == 5 else 10
        return [_spanned((p[a][0], p[b][1] - more), (p[c][0], p[d][1] + more)) for a, b, c, d in
                ((36, 38, 39, 41), (42, 44, 45, 47))]  # fmt: skip
    if au == 6:
        return [((p[i][0], p[i][1] + round(w / 6)), (round(w / 10), round(w / 10))) for i in (41, 46)]
    if au == 17:
        return [_spanned(p[59], p[8])]
    if au in (23, 24, 26, 27):
        return [_spanned((p[48][0], p[51][1]), (p[54][0], p[57][1]))]
    if au == 25:
        return [(p[i], (25, 10)) for i in (51, 57)]
    circles = {
        9: ((p[31][0], p[29][1]), (p[35][0], p[29][1])),
        10: ((p[48][0], p[50][1]), (p[54][0], p[52][1])),
        12: (p[48], p[54]),
        15: (p[48], p[54]),
        16: (p[59], p[55]),
        20: (_middle(p[48], p[6]), _middle(p[50], p[10])),
    }
    return [(centre, (20, 20)) for centre in circles[au]]


def _middle(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    return int((a[0] + b[0]) / 2), int((a[1] + b[1]) / 2)


def _spanned(a: tuple[int, int], b: tuple[int, int], least: int = 5) -> Ellipse:
    """From the upper left to the lower right corner of its box; a box without width or height gets `least`."""
    axes = (max(int((b[i] - a[i]) / 2), 0) or least for i in (0, 1))
    return _middle(a, b), (next(axes), next(axes))
