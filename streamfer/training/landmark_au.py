"""Train the bundled AU model: renders with exact truth, real faces for what renders cannot teach.

    report = train(LandmarkTraining(ict=Path("ict_facekit.npz"), task=Path("face_landmarker.task"), ...))

Losses, all on standardised landmarks turned to the front (landmark_net.py):

* renders: squared error of the intensities, and of their differences within a view, which is what is left of them
  once the person's neutral level is taken off; in most batches the movement of one face is put on another face and
  pose (landmarks and truth are about linear in the movement);
* real faces: those that taggers agree are neutral should read 0 on average (not each: that would teach the network
  to read 0 on photographs); where MediaPipe's blendshapes are alive
  (teacher.py) the intensities should correlate with them. AU4, which the renders show without its furrow and the
  blendshapes hardly at all, should correlate with FER+'s votes for expressions that lower the brow (`FROWNS`); it
  reads the upper half of the face only, so it cannot learn the mouths of those expressions. Scale comes from the
  renders alone.

People of the test renders are never trained on; the real clips of the test are other clips. Deterministic for a seed
and a machine. Numbers come from `evaluate` in landmark_scores.py, on the written file.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from streamfer.action_units import facs
from streamfer.action_units.contract import Inputs, LandmarkInput, Metadata
from streamfer.action_units.model import to_face_frame
from streamfer.training.landmark_net import LandmarkAUs, export, mirror_of, to_front
from streamfer.training.renders import Renders, make_renders
from streamfer.training.teacher import RealFaces, enlarged, read_faces, teach, video_frames

log = logging.getLogger(__name__)

SIDED = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 16, 20, 43)
WHOLE = (17, 18, 23, 24, 25, 26)
COLUMNS = tuple(facs.ordered([c for number in (*SIDED, *WHOLE) for c in facs.UNITS[number].columns]))
TAUGHT = (1, 2, 5, 10, 12, 18, 20, 23, 26, 43)
"""AUs whose MediaPipe blendshape follows the movement in renders (r within a view at least 0.35): see the model card."""
FROWNS = (0.0, 0.0, 0.0, 0.5, 1.0, 1.0, 0.5, 0.0, 0.0, 0.0)
"""How far each of FER+'s ten votes speaks for a lowered brow: sadness, anger, disgust, fear (EMFACS)."""


@dataclass(frozen=True, slots=True)
class LandmarkTraining:
    """Where the data are and how long to train. `cache` keeps the renders: they take most of the time."""

    ict: Path  # ICT-FaceKit as npz, see ict_face.py
    task: Path  # face_landmarker.task
    cache: Path
    out: Path
    clips: tuple[Path, ...] = ()  # real videos, one person each
    fer: Path | None = None  # npz with images (n, 48, 48) and votes (n, 10), FER+
    fer_images: int = 3500
    seeds: tuple[int, ...] = (11, 12, 13, 15, 16)  # of the renders: `people` persons each; 14 is the test's
    people: int = 50
    views: int = 8
    expressions: int = 6
    epochs: int = 40
    hidden: int = 160
    seed: int = 1  # of the training
    version: str = "1"


def train(config: LandmarkTraining) -> LandmarkAUs:
    """Make or load the data, train, write `config.out` with its metadata; returns the network."""
    torch.manual_seed(config.seed)
    torch.set_num_threads(1)
    config.cache.mkdir(parents=True, exist_ok=True)
    renders = _renders(config)
    real, votes = _real(config)
    if len(np.unique(renders.view)) < BATCH:
        raise ValueError(f"{len(np.unique(renders.view))} views are too few to train on: at least {BATCH}")
    net = fit(renders, real, votes, config)
    export(net, _metadata(config, renders, real), config.out)
    log.info("wrote %s, %d kB", config.out, config.out.stat().st_size // 1024)
    return net


BATCH = 64
"""Views in a batch."""


def fit(renders: Renders, real: RealFaces, votes: np.ndarray, config: LandmarkTraining) -> LandmarkAUs:
    """`votes` (R, 10) are the real faces' FER+ votes; rows of zeros where nobody voted."""
    rng = torch.Generator().manual_seed(config.seed)
    faces = to_front(torch.from_numpy(to_face_frame(renders.landmarks)))
    truth = torch.from_numpy(renders.truth(COLUMNS))
    mirror = mirror_of(faces.numpy())
    net = LandmarkAUs(COLUMNS, mirror, *_standard(faces.numpy(), mirror), config.hidden)
    views = torch.from_numpy(_whole_views(renders.view, config.expressions))
    photos = to_front(torch.from_numpy(to_face_frame(real.landmarks)))
    taught = torch.from_numpy(teach(COLUMNS, real))
    alive = torch.tensor([facs.parse(c)[0] in TAUGHT for c in COLUMNS])
    at_rest = torch.from_numpy(np.flatnonzero(votes[:, 0] >= 8))
    voted = torch.from_numpy(np.flatnonzero(votes.sum(axis=1)))
    frowned = torch.from_numpy(votes @ np.array(FROWNS))[:, None].float()
    frowns = [i for i, column in enumerate(COLUMNS) if column.startswith("AU04")]

    batches = len(views) // BATCH
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.1)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=config.epochs * batches)
    for epoch in range(config.epochs):
        net.train()
        total = 0.0
        order = torch.randperm(len(views), generator=rng)[: batches * BATCH].view(batches, BATCH)
        for batch in order:
            moved, wanted = _transplant(faces[views[batch]], truth[views[batch]], rng)
            read = net.read(_jitter(moved.flatten(0, 1), rng)).view(wanted.shape)
            loss = (read - wanted).square().mean()
            loss = loss + (_centred(read) - _centred(wanted)).square().mean()
            if len(photos):
                pick = torch.randint(len(photos), (192,), generator=rng)
                seen = net.read(_jitter(photos[pick], rng))
                loss = loss + 0.3 * (1 - _correlation(seen[:, alive], taught[pick][:, alive])).mean()
            if len(at_rest):
                pick = at_rest[torch.randint(len(at_rest), (96,), generator=rng)]
                loss = loss + 0.5 * net.read(_jitter(photos[pick], rng)).mean(dim=0).square().mean()
            if len(voted):
                pick = voted[torch.randint(len(voted), (192,), generator=rng)]
                seen = net.read(_jitter(photos[pick], rng))[:, frowns]
                loss = loss + 0.2 * (1 - _correlation(seen, frowned[pick])).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            rate.step()
            total += loss.item()
        if epoch % 10 == 9:
            log.info("epoch %d of %d, loss %.3f", epoch + 1, config.epochs, total / batches)
    return net.eval()


def _transplant(faces: torch.Tensor, truth: torch.Tensor, rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Views (B, E, 478, 3) with their truth (B, E, K): most get the mean face and mean truth of another view."""
    other = torch.randperm(len(faces), generator=rng)
    share = (torch.rand(len(faces), generator=rng) < 0.7).float()
    face, level = faces.mean(dim=1, keepdim=True), truth.mean(dim=1, keepdim=True)
    return (
        faces + share[:, None, None, None] * (face[other] - face),
        truth + share[:, None, None] * (level[other] - level),
    )


def _jitter(faces: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """The landmark network's noise from frame to frame, about 0.002 of the inner-eye distance on a noisy still face
    (faces/landmarks.py), here in units of the head's width, which is about three times as long."""
    return faces + torch.randn(faces.shape, generator=rng) * 0.0012


def _centred(values: torch.Tensor) -> torch.Tensor:
    return values - values.mean(dim=1, keepdim=True)


def _correlation(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    a, b = a - a.mean(dim=0), b - b.mean(dim=0)
    return (a * b).sum(dim=0) / (a.norm(dim=0) * b.norm(dim=0) + 1e-4)


def _standard(faces: np.ndarray, mirror: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (478, 3), the same for a face and its mirror image."""
    mean, std = faces.mean(axis=0), np.maximum(faces.std(axis=0), 1e-3)
    return (mean + mean[mirror] * [-1, 1, 1]) / 2, (std + std[mirror]) / 2


def _whole_views(view: np.ndarray, expressions: int) -> np.ndarray:
    """Rows (V, expressions) of the views in which every picture was read."""
    order = np.argsort(view, kind="stable")
    rows = np.split(order, np.flatnonzero(np.diff(view[order])) + 1)
    return np.array([r for r in rows if len(r) == expressions])


def cached_renders(config: LandmarkTraining, seed: int) -> Renders:
    """The renders of one seed, drawn first when the cache does not have them (about two minutes of one core)."""
    path = config.cache / f"renders-{seed}-{config.people}x{config.views}x{config.expressions}.npz"
    if not path.exists():
        log.info("drawing %d people", config.people)
        make_renders(config.ict, config.people, config.views, config.expressions, seed).save(path)
    return Renders.load(path)


def _renders(config: LandmarkTraining) -> Renders:
    parts = [cached_renders(config, seed) for seed in config.seeds]
    people, views = config.people, config.people * config.views
    return Renders(
        np.concatenate([p.landmarks for p in parts]),
        np.concatenate([p.weights for p in parts]),
        np.concatenate([p.lip_gap for p in parts]),
        np.concatenate([p.person + i * people for i, p in enumerate(parts)]),
        np.concatenate([p.view + i * views for i, p in enumerate(parts)]),
        parts[0].unit_names,
        sum(p.missed for p in parts),
    )


def _real(config: LandmarkTraining) -> tuple[RealFaces, np.ndarray]:
    """Faces of the clips and of FER+, and their votes (R, 10), zeros for clips."""
    parts: list[RealFaces] = []
    votes: list[np.ndarray] = []
    for clip in config.clips:
        part = cached(
            config.cache / f"{clip.stem}.npz", partial(read_faces, video_frames(clip, 2), config.task, tracked=True)
        )
        parts.append(part)
        votes.append(np.zeros((len(part.index), 10)))
    if config.fer is not None:
        with np.load(config.fer) as data:
            images, tagged = data["images"][: config.fer_images], data["votes"][: config.fer_images]
        part = cached(
            config.cache / f"{config.fer.stem}-{config.fer_images}.npz", partial(read_faces, enlarged(images), config.task)
        )
        parts.append(part)
        votes.append(tagged[part.index].astype(float))
    if not parts:
        return read_faces([], config.task), np.zeros((0, 10))
    whole = RealFaces(
        np.concatenate([p.landmarks for p in parts]),
        np.concatenate([p.blendshapes for p in parts]),
        parts[0].names,
        np.concatenate([p.index for p in parts]),
        sum(p.seen for p in parts),
    )
    return whole, np.concatenate(votes)


def cached(path: Path, make: Callable[[], RealFaces]) -> RealFaces:
    """The faces in `path`, made first when it is not there."""
    if not path.exists():
        make().save(path)
    return RealFaces.load(path)


def _metadata(config: LandmarkTraining, renders: Renders, real: RealFaces) -> Metadata:
    people = len(np.unique(renders.person))
    return Metadata(
        name="streamfer landmarks",
        version=config.version,
        aus=COLUMNS,
        inputs=Inputs(landmarks=LandmarkInput()),
        training_data=(
            f"{len(renders.view)} renders of {people} ICT-FaceKit people (MIT) read by MediaPipe FaceMesh; "
            f"{len(real.index)} real faces (FER+ and {len(config.clips)} clips) taught by MediaPipe blendshapes (Apache-2.0)"
        ),
        licence="Apache-2.0",
    )

