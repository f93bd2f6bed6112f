"""What the landmark AU model's card says, measured on a model file as the product runs it.

Three kinds of truth, none of them trained on: renders of unseen people (exact), expression labels of FER+'s
validation faces (do the AUs of an expression separate it from neutral?), and MediaPipe's blendshapes on clips of other
people. And the noise on a calm clip, which bounds what a micro-expression must do to be seen.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from streamfer.action_units import facs
from streamfer.action_units.model import AUModel
from streamfer.evaluation.agreement import auc, correlation, icc31, mae, within
from streamfer.training.renders import Renders
from streamfer.training.teacher import RealFaces, teach

LABEL_TESTS: tuple[tuple[str, tuple[int, ...], int], ...] = (
    # expression of FER+ against neutral: which AUs should tell, column of the votes
    ("happiness", (6, 12), 1), ("surprise", (1, 2, 5, 26), 2), ("sadness", (1, 4, 15, 17), 3),
    ("anger", (4, 7, 9, 10, 23, 24), 4), ("disgust", (4, 9, 10), 5), ("fear", (1, 2, 4, 5, 20, 25), 6),
)  # fmt: skip


def predict(model: AUModel, landmarks: np.ndarray) -> np.ndarray:
    """(N, K) for landmarks (N, 478, 3) in pixels, some hundred at a time."""
    parts = [model.predict(list(landmarks[i : i + 512])) for i in range(0, len(landmarks), 512)]
    return np.concatenate(parts) if parts else np.zeros((0, len(model.names)), np.float32)


def on_renders(model: AUModel, renders: Renders) -> dict[str, dict[str, float]]:
    """`scores_on_renders` of what a landmark model reads."""
    return scores_on_renders(predict(model, renders.landmarks), renders, model.names)


def scores_on_renders(read: np.ndarray, renders: Renders, names: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Per column of `read` (N, K): MAE, MAE of always saying 0, ICC(3,1), r, and r within a view (nothing but the
    expression changes).

    As in the product, each person's neutral level, a quantile of 0.2 over their pictures, is taken off first.
    """
    got, truth = less_neutral(read, renders.person), renders.truth(names)
    level = correlation(within(got, renders.view), within(truth, renders.view))
    columns = zip(mae(got, truth), truth.mean(axis=0), icc31(got, truth), correlation(got, truth), level, strict=True)
    return {
        name: {"mae": float(m), "mae_of_zero": float(z), "icc": float(i), "r": float(r), "r_within": float(w)}
        for name, (m, z, i, r, w) in zip(names, columns, strict=True)
    }


def less_neutral(read: np.ndarray, person: np.ndarray) -> np.ndarray:
    """(N, K) with each person's quantile of 0.2 taken off, 0-5."""
    got = np.array(read, np.float32)
    for one in np.unique(person):
        own = person == one
        got[own] = np.clip(got[own] - np.quantile(got[own], 0.2, axis=0), 0, 5)
    return got


def blendshapes_on_renders(renders: Renders, faces: RealFaces, columns: tuple[str, ...]) -> dict[str, float]:
    """r within a view of each blendshape with the truth: how alive the teacher is. `faces` read the same pictures."""
    rows = faces.index
    taught, truth, view = teach(columns, faces), renders.truth(columns)[rows], renders.view[rows]
    found = correlation(within(taught, view), within(truth, view))
    return {name: float(r) for name, r in zip(columns, found, strict=True)}


def on_clips(model: AUModel, clips: Mapping[str, RealFaces]) -> dict[str, dict[str, float]]:
    """Per column and clip: r with the blendshape over the frames; columns without one are left out."""
    table: dict[str, dict[str, float]] = {name: {} for name in model.names}
    for clip, faces in clips.items():
        found = correlation(predict(model, faces.landmarks), teach(model.names, faces))
        for name, r in zip(model.names, found, strict=True):
            if np.isfinite(r):
                table[name][clip] = float(r)
    return {name: row for name, row in table.items() if row}


def on_labels(model: AUModel, faces: RealFaces, votes: np.ndarray) -> dict[str, dict[str, float]]:
    """Per expression and AU (stronger side): AUC against neutral, faces on which at least 6 of 10 taggers agree."""
    got, votes = predict(model, faces.landmarks), votes[faces.index]
    neutral = votes[:, 0] >= 6
    table: dict[str, dict[str, float]] = {}
    for label, aus, column in LABEL_TESTS:
        wanted = votes[:, column] >= 6
        if wanted.sum() < 5:
            continue
        table[label] = {"faces": float(wanted.sum())}
        for number in aus:
            columns = [i for i, name in enumerate(model.names) if facs.parse(name)[0] == number]
            if columns:
                strength = got[:, columns].max(axis=1)
                table[label][f"AU{number}"] = auc(strength[wanted], strength[neutral])
    return table


def noise(model: AUModel, faces: RealFaces) -> dict[str, dict[str, float]]:
    """On consecutive frames: standard deviation, and of the change from frame to frame (over the root of two)."""
    got = predict(model, faces.landmarks)
    step = np.diff(got, axis=0).std(axis=0) / np.sqrt(2)
    return {n: {"std": float(s), "jitter": float(j)} for n, s, j in zip(model.names, got.std(axis=0), step, strict=True)}
