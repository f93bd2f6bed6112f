"""What benchmarks/perception.py measures, on faces that are cut already: functions of arrays, each with its definition.

Faces are `training.face_crops.FaceCrops`; a model is an `AUModel`, whether it looks at crops or at landmarks alone, so that the
perception file and the landmark model answer to the same faces. Columns are those of the model.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamfer.action_units import facs
from streamfer.action_units.contract import read_metadata
from streamfer.action_units.model import AUModel, to_face_frame
from streamfer.evaluation import bootstrap
from streamfer.evaluation.agreement import icc31
from streamfer.expression import cam, cues
from streamfer.faces.mirror import mirrored
from streamfer.training.face_crops import CROP_PX, MARGIN_PX, FaceCrops, in_batches

METHODS: tuple[cam.Method, ...] = ("cam", "gradcam++", "layercam")


def pictures(faces: FaceCrops) -> list[np.ndarray]:
    """The product's crops (56, 56, 3) of stored ones."""
    end = MARGIN_PX + CROP_PX
    return list(np.repeat(faces.crops[:, MARGIN_PX:end, MARGIN_PX:end, None], 3, axis=3))


def intensities(model: AUModel, faces: FaceCrops) -> np.ndarray:
    """(N, K), 0-5."""
    parts = [np.zeros((0, len(model.names)), np.float32)]
    for rows in in_batches(len(faces), 256):
        some = faces.take(np.arange(len(faces))[rows])
        parts.append(model.predict(list(some.landmarks), pictures(some) if model.needs_crop else None))
    return np.concatenate(parts)


def copies(pictures: np.ndarray, others: Iterable[np.ndarray]) -> np.ndarray:
    """(N,) bool: which of `pictures` (N, H, W) is byte for byte in one of `others`."""
    known = {hashlib.sha256(one.tobytes()).digest() for images in others for one in images}
    return np.array([hashlib.sha256(one.tobytes()).digest() in known for one in pictures], bool)


def plurality(votes: np.ndarray) -> np.ndarray:
    """(N,) FER+'s label by most votes even if they are no majority, -1 for unknown, not a face and ties.

    A softer rule than `expression.majority`: it keeps the pictures that taggers disagree on.
    """
    from streamfer.evaluation.expression import VOTED
    from streamfer.records import LABELS

    counts = np.where(votes <= 1, 0, votes)
    tied = (counts == counts.max(axis=1, keepdims=True)).sum(axis=1) > 1
    order = np.array([LABELS.index(name) if name in LABELS else -1 for name in VOTED])
    return np.where(tied, -1, order[counts.argmax(axis=1)])


# ------------------------------------------------------------------------------------- where it looks


def feature_maps(path: Path, faces: FaceCrops) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, C, h, w) of an ONNX file with a spatial map, and its class weights (8, C)."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    spatial = read_metadata(session.get_modelmeta().custom_metadata_map, path).spatial
    if spatial is None:
        raise SystemExit(f"{path} has no spatial map: give a perception file")
    parts = []
    for rows in in_batches(len(faces), 256):
        some = faces.take(np.arange(len(faces))[rows])
        crop = np.ascontiguousarray(np.stack(pictures(some)).transpose(0, 3, 1, 2))
        parts.append(session.run(["features"], {"crop": crop, "landmarks": to_face_frame(some.landmarks)})[0])
    return np.concatenate(parts), np.array(spatial.class_weights, np.float32)


def cue_maps(faces: FaceCrops, labels: np.ndarray) -> np.ndarray:
    """(N, 56, 56) of the true labels (N,), at the side of the network's input; zeros without a mesh and for neutral."""
    points = np.full((len(faces), 68, 2), np.nan, np.float32)
    points[faces.found] = cues.landmarks68(faces.landmarks[faces.found])
    return cues.heatmaps(points, labels, CROP_PX, crop_px=CROP_PX)


@dataclass(frozen=True, slots=True)
class Cosines:
    by_class: dict[str, float]
    mean: float  # over the classes but neutral
    of_six: float  # without contempt too, which the publication has not
    interval: tuple[float, float]


def cosines(values: np.ndarray, labels: np.ndarray) -> Cosines:
    """`cam.per_class` with the interval of its mean: faces drawn again."""
    by_class, mean = cam.per_class(values, labels)
    told = np.isfinite(values)
    each = labels[told, None] == np.unique(labels[told])
    sums = np.stack([each * values[told, None], each], axis=2)  # (faces, classes, sum and count)

    def score(drawn: np.ndarray) -> np.ndarray:
        return bootstrap.ratio(drawn[..., 0], drawn[..., 1]).mean(axis=1)

    of_six = float(np.mean([value for label, value in by_class.items() if label != "contempt"]))
    return Cosines(by_class, mean, of_six, bootstrap.interval(sums, score, draws=500))


def look(features: np.ndarray, weights: np.ndarray, maps: np.ndarray, labels: np.ndarray) -> dict[str, Cosines]:
    """CAM-COS by each method for the true class, and ATT-COS."""
    values = {m: cam.cam_cos(cam.class_activation(features, weights, labels, m), maps) for m in METHODS}
    values["attention"] = cam.att_cos(features, maps)
    return {name: cosines(row, labels) for name, row in values.items()}


def by_gradient(checkpoint: Path, faces: FaceCrops, labels: np.ndarray, method: cam.Method) -> np.ndarray:
    """(N, h, w) CAMs of a checkpoint's averaged network by torch's gradients at the map that the classifier averages."""
    import torch

    from streamfer.training.augment import centre
    from streamfer.training.perception_data import front_of_faces
    from streamfer.training.skin_share import load_net

    net = load_net(checkpoint)
    front, present = front_of_faces(faces)
    parts = []
    for rows in in_batches(len(faces), 256):
        with torch.no_grad():
            seen = net.see(centre(torch.from_numpy(faces.crops[rows])), front[rows], present[rows])
        points = seen.embedding[:, net.size.out :]
        head = torch.nn.Sequential(torch.nn.Identity(), _Averaged(net.label, points))
        parts.append(cam.gradient_cam(head, head[0], seen.features, labels[rows], method))
    return np.concatenate(parts)


def _Averaged(label: object, points: object) -> object:  # noqa: N802 - a module, made where torch is
    import torch

    class Averaged(torch.nn.Module):
        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return label(torch.cat([features.mean(dim=(2, 3)), points], dim=1))  # type: ignore[operator,list-item]

    return Averaged()


# ------------------------------------------------------------------------------------------------ AUs


def swapped(names: tuple[str, ...]) -> np.ndarray:
    """(K,) the column of the other side; a column without sides is its own."""
    other = [name[:-1] + {"L": "R", "R": "L"}[name[-1]] if facs.parse(name)[1] != "both" else name for name in names]
    return np.array([names.index(name) for name in other])


def turned(faces: FaceCrops) -> FaceCrops:
    """Crops and landmarks of the mirror images."""
    points = mirrored(faces.landmarks)
    points[..., 0] += CROP_PX
    return FaceCrops(np.ascontiguousarray(faces.crops[:, :, ::-1]), points, faces.found, faces.index)


@dataclass(frozen=True, slots=True)
class Gap:
    mean: float
    p95: float
    worst: str  # the column with the largest mean
    worst_mean: float


def mirror_gap(read: np.ndarray, of_mirror: np.ndarray, names: tuple[str, ...]) -> Gap:
    """|left of a face - right of its mirror image| and the other way round, over frames (N, K) and columns with a side."""
    sided = [k for k, name in enumerate(names) if facs.parse(name)[1] != "both"]
    gap = np.abs(read - of_mirror[:, swapped(names)])[:, sided]
    worst = int(gap.mean(axis=0).argmax())
    return Gap(float(gap.mean()), float(np.percentile(gap, 95)), names[sided[worst]], float(gap[:, worst].mean()))


def people_interval(got: np.ndarray, truth: np.ndarray, person: np.ndarray, draws: int = 300) -> dict[str, tuple[float, float]]:
    """95 % intervals of the mean MAE and mean ICC(3,1) over columns, people drawn again."""
    rows = [np.flatnonzero(person == one) for one in np.unique(person)]
    error = np.abs(got - truth).mean(axis=1)

    def again(times: np.ndarray) -> np.ndarray:
        return np.concatenate([np.tile(r, n) for r, n in zip(rows, times, strict=True) if n])

    return {
        "mae": bootstrap.interval_of(len(rows), lambda t: float(error[again(t)].mean()), draws=draws),
        "icc": bootstrap.interval_of(len(rows), lambda t: float(icc31(got[again(t)], truth[again(t)]).mean()), draws=draws),
    }


# ----------------------------------------------------------------------------------------------- cost


@dataclass(frozen=True, slots=True)
class Timing:
    p50_ms: float
    p95_ms: float
    cpu_ms: float  # processor time a call, which other programs on the machine lengthen less
    calls: int


def timed(call: Callable[[], object], calls: int = 500, warm: int = 30) -> Timing:
    for _ in range(warm):
        call()
    taken = np.empty(calls)
    cpu = time.process_time()
    for i in range(calls):
        start = time.perf_counter()
        call()
        taken[i] = time.perf_counter() - start
    cpu = time.process_time() - cpu
    low, high = np.percentile(1e3 * taken, [50, 95])
    return Timing(float(low), float(high), 1e3 * cpu / calls, calls)
