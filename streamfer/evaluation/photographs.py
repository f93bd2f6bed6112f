"""Expression of single photographs by an ONNX file, against FER+'s votes: what `streamfer evaluate fer` prints.

The pictures go the product's way: FaceMesh, alignment, the model. In small pictures it finds no mesh now and then; these get
the usual place of a face in such pictures and landmarks of NaN, and are scored like the others.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamfer.action_units.model import AUModel
from streamfer.errors import UsageError
from streamfer.evaluation import expression
from streamfer.evaluation.expression import ExpressionScores
from streamfer.records import LABELS
from streamfer.training.face_crops import CROP_PX, MARGIN_PX, FaceCrops, in_batches, photo_faces


@dataclass(frozen=True, slots=True)
class PhotoScores:
    scores: ExpressionScores
    without_mesh: int
    mirrored: bool
    model: str


def score_file(file: Path, model_file: Path, mirror: bool) -> PhotoScores:
    """Raises UsageError when the npz lacks `images` or `votes`, ModelContract when the model names no expression."""
    model = AUModel.load(model_file, device="cpu")
    with np.load(file, allow_pickle=False) as data:
        missing = {"images", "votes"} - set(data.files)
        if missing:
            raise UsageError(f"{file} has no {' and no '.join(sorted(missing))}: it must hold images (N, 48, 48), votes (N, 10)")
        images, votes = data["images"], data["votes"]
    return score(photo_faces(images), votes, model, mirror)


def score(faces: FaceCrops, votes: np.ndarray, model: AUModel, mirror: bool) -> PhotoScores:
    scores = expression.evaluate(expressions(model, faces, mirror=mirror), votes)
    return PhotoScores(scores, int((~faces.found).sum()), mirror, f"{model.info.name} {model.info.version}")


def expressions(model: AUModel, faces: FaceCrops, *, mirror: bool = False) -> np.ndarray:
    """(N, 8) of crops that were cut for the perception network (56 px); `mirror`: mean over each and its mirror image."""
    end = MARGIN_PX + CROP_PX
    parts = []
    for rows in in_batches(len(faces), 256):
        grey = faces.crops[rows, MARGIN_PX:end, MARGIN_PX:end]
        parts.append(model.express(list(faces.landmarks[rows]), list(np.repeat(grey[..., None], 3, axis=3)), mirror=mirror))
    return np.concatenate(parts) if parts else np.zeros((0, len(LABELS)), np.float32)


def report(result: PhotoScores, as_json: bool) -> str:
    s = result.scores
    if as_json:
        return json.dumps({
            "protocol": "FER+ majority, 8 classes", "model": result.model, "mirrored": result.mirrored,
            "pictures": s.pictures, "dropped": s.dropped, "without_mesh": result.without_mesh, "accuracy": s.accuracy,
            "accuracy_interval": s.accuracy_interval, "mean_recall": s.mean_recall,
            "mean_recall_interval": s.mean_recall_interval,
            "recall": {label: None if np.isnan(r) else r for label, r in s.recall.items()},
        })  # fmt: skip
    (low, high), (low_r, high_r) = s.accuracy_interval, s.mean_recall_interval
    lines = [
        f"FER+ majority of the votes, 8 classes; {result.model}{', picture and mirror image' if result.mirrored else ''}",
        f"{s.pictures} pictures scored, {s.dropped} without a label left out, {result.without_mesh} without landmarks",
        f"accuracy     {s.accuracy:.4f}  ({low:.4f}-{high:.4f})",
        f"mean recall  {s.mean_recall:.4f}  ({low_r:.4f}-{high_r:.4f})",
        *(f"  {label:10s} {recall:.3f}" for label, recall in s.recall.items() if not np.isnan(recall)),
    ]
    return "\n".join(lines)
