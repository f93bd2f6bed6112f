"""What the perception network is trained on, as tensors: FER+ photographs with votes, renders with exact action units.

Crops and renders take minutes to make, so they are kept in `PerceptionTraining.cache`. `held_out` names the photographs that no
run trains on: all choices are made on them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from streamfer.action_units.model import to_face_frame
from streamfer.errors import UsageError
from streamfer.evaluation.expression import VOTED
from streamfer.expression import cues
from streamfer.faces.mirror import mirrored
from streamfer.records import LABELS
from streamfer.training import face_crops
from streamfer.training.augment import centre
from streamfer.training.face_crops import CROP_PX, FaceCrops
from streamfer.training.landmark_au import COLUMNS
from streamfer.training.landmark_net import mirror_of, to_front
from streamfer.training.perception_net import MAP, NetSize, Perception
from streamfer.training.renders import Renders

if TYPE_CHECKING:
    from streamfer.training.perception import PerceptionTraining

HOLD_OUT = 2000


def vote_shares(votes: np.ndarray) -> np.ndarray:
    """FER+'s ten votes (N, 10) -> shares (N, 8) in the order of LABELS; zeros where nothing is left."""
    counts = votes[:, : len(LABELS)].astype(np.float32)
    counts[counts <= 1] = 0.0
    counts = counts[:, [VOTED.index(label) for label in LABELS]]
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-9)


@dataclass(slots=True)
class Photos:
    """FER+ ready for training, as tensors."""

    crops: torch.Tensor  # (N, 72, 72) uint8
    front: torch.Tensor  # (N, 478, 3), landmarks turned to the front
    present: torch.Tensor  # (N, 1)
    shares: torch.Tensor  # (N, 8)
    maps: torch.Tensor  # (N, 14, 14) cue maps; zeros where there is none


@dataclass(slots=True)
class Drawn:
    """Faces whose action units are known: renders, or frames that coders labelled."""

    crops: torch.Tensor
    truth: torch.Tensor  # (N, K), NaN where it is not known


def front_of_faces(faces: FaceCrops) -> tuple[torch.Tensor, torch.Tensor]:
    """Landmarks of `faces` turned to the front, zeros where missing, and (N, 1) whether they are there."""
    points = np.zeros_like(faces.landmarks)
    points[faces.found] = to_face_frame(faces.landmarks[faces.found])
    front = torch.zeros(points.shape)
    rows = torch.from_numpy(np.flatnonzero(faces.found))
    front[rows] = to_front(torch.from_numpy(points[faces.found]))
    return front, torch.from_numpy(faces.found.astype(np.float32))[:, None]


def cue_maps(faces: FaceCrops, labels: np.ndarray) -> np.ndarray:
    """(N, MAP, MAP) of the label (N,), -1 for none."""
    points = np.full((len(faces), 68, 2), np.nan, np.float32)
    points[faces.found] = cues.landmarks68(faces.landmarks[faces.found])
    return cues.heatmaps(points, np.maximum(labels, 0), MAP, crop_px=CROP_PX)


def photos_of(faces: FaceCrops, votes: np.ndarray) -> Photos:
    front, present = front_of_faces(faces)
    shares = vote_shares(votes)
    labels = np.where(shares.sum(axis=1) > 0, shares.argmax(axis=1), -1)
    maps = torch.from_numpy(cue_maps(faces, labels))
    return Photos(torch.from_numpy(faces.crops), front, present, torch.from_numpy(shares), maps)


def load_photos(config: PerceptionTraining) -> tuple[FaceCrops, np.ndarray]:
    cache = config.cache or config.out / "cache"
    parts, votes = [], []
    for path in config.fer:
        parts.append(face_crops.cached(cache / f"{path.stem}.npz", partial(face_crops.fer_faces, path)))
        with np.load(path, allow_pickle=False) as data:
            votes.append(data["votes"])
    return face_crops.joined(parts), np.concatenate(votes)


def load_renders(config: PerceptionTraining, seed: int) -> tuple[FaceCrops, Renders]:
    cache, ict = config.cache or config.out / "cache", config.ict
    if ict is None:
        raise UsageError("renders need ICT-FaceKit: give --ict")
    name = f"renders-{seed}-{config.people}x{config.views}x{config.expressions}"
    faces = face_crops.cached(
        cache / f"{name}-crops.npz",
        lambda: face_crops.render_faces(ict, seed, config.people, config.views, config.expressions, cache / f"{name}.npz"),
    )
    return faces, Renders.load(cache / f"{name}.npz")


def held_out(count: int, hold: int, seed: int = 0) -> np.ndarray:
    """(count,) bool: the photographs kept for choices, the same in every run."""
    mask = np.zeros(count, bool)
    mask[np.random.default_rng(seed).permutation(count)[:hold]] = True
    return mask


def new_net(faces: FaceCrops, size: NetSize) -> Perception:
    """A network whose standard face and AU regions are those of `faces`."""
    front = front_of_faces(faces)[0][torch.from_numpy(faces.found)].numpy()
    mirror = mirror_of(front)
    mean, std = front.mean(axis=0), np.maximum(front.std(axis=0), 1e-3)
    mean, std = (mean + mean[mirror] * [-1, 1, 1]) / 2, (std + std[mirror]) / 2
    return Perception(regions(faces), mean, std, size)


def regions(faces: FaceCrops) -> np.ndarray:
    """Where each column of COLUMNS is looked for, (K, MAP, MAP), each with sum 1: its region on the mean face."""
    points = cues.landmarks68(faces.landmarks[faces.found]).mean(axis=0, keepdims=True)
    named = [name if not name.startswith("AU18") else "AU23" for name in COLUMNS]  # puckered lips: where lips are
    maps = cues.au_heatmaps(points, named, MAP, crop_px=CROP_PX)[0] + 1e-4
    return maps / maps.sum(axis=(1, 2), keepdims=True)


def load_run(net: Perception, run: Path, option: str) -> dict[str, torch.Tensor]:
    """The averaged weights of an earlier run's checkpoint, which `net` then has. `option` is what the run was given as."""
    if not run.is_file():
        raise UsageError(f"{run} is not there: {option} takes the folder of an earlier run")
    weights: dict[str, torch.Tensor] = torch.load(run, map_location=net.mean.device, weights_only=True)["averaged"]
    try:
        net.load_state_dict(weights)
    except RuntimeError as error:
        raise UsageError(f"{run} holds a network of another size: {error}".splitlines()[0]) from None
    return weights


def mirror_front(front: torch.Tensor) -> torch.Tensor:
    """Landmarks (N, 478, 3) that `to_front` turned -> those of the mirrored faces."""
    return torch.from_numpy(mirrored(front.numpy()))


def probabilities(
    net: Perception, photos: Photos, picture: Callable[[torch.Tensor], torch.Tensor] = centre, mirror: bool = False
) -> np.ndarray:
    """(N, 8) of what `picture` makes of the stored crops; `mirror`: it turns them, so the landmarks are turned too."""
    parts = []
    device = net.mean.device
    with torch.no_grad():
        for rows in face_crops.in_batches(len(photos.crops), 256):
            grey, front, present = picture(photos.crops[rows]), photos.front[rows], photos.present[rows]
            front = mirror_front(front) if mirror else front
            one = net.see(grey.to(device), front.to(device), present.to(device)).logits.softmax(1)
            parts.append(one.float().cpu().numpy())
    return np.concatenate(parts)
