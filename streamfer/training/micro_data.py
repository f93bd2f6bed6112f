"""From annotated data sets to what the recogniser learns from: one flow and one class for each micro-expression.

Which clips, and their classes: of CASME II, SAMM and SMIC those of the MEGC 2019 composite, by its rules
(evaluation/recognition.py); of other data sets every micro-expression whose emotion the 3-class scheme knows
(datasets/emotions.py). An expression without an apex (all of SMIC) is taken at the middle between onset and offset, as
tvaranka/meb does. What cannot be used is counted by reason, never dropped silently. Flows are kept in the
cache folder: they take most of the time and depend on nothing that is trained.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from streamfer.config import Faces, Video
from streamfer.errors import SourceError, UsageError
from streamfer.evaluation import recognition
from streamfer.evaluation.recognition import CLASSES, Sample
from streamfer.expression.micro import INPUT_PX, FacePicture, flow_input

if TYPE_CHECKING:
    from streamfer.datasets.records import Annotation, Clip, Dataset
    from streamfer.faces.landmarks import LandmarkFinder

log = logging.getLogger(__name__)

_VERSION = 1
"""Of what is in the cache: changes with flow_input."""


@dataclass(frozen=True, slots=True)
class MicroData:
    """The samples, their flows (N, 3, 28, 28) float32, and why others are not among them."""

    samples: tuple[Sample, ...]
    flows: np.ndarray
    left_out: dict[str, int]

    @property
    def labels(self) -> np.ndarray:
        return np.array([sample.label for sample in self.samples], np.int64)

    def digest(self) -> str:
        """Over all that is learnt from: a fold that was trained on something else is trained again."""
        digest = hashlib.sha256(repr(self.samples).encode())
        digest.update(np.ascontiguousarray(self.flows).tobytes())
        return digest.hexdigest()[:16]


def read_samples(datasets: Iterable[Dataset], cache: Path) -> MicroData:
    """All data sets together. Raises UsageError when nothing in them can be learnt from."""
    samples: list[Sample] = []
    flows: list[np.ndarray] = []
    left_out: Counter[str] = Counter()
    for dataset in datasets:
        wanted = list(_wanted(dataset, left_out))
        done = _cached(dataset, wanted, cache)
        for (sample, _, _), flow, reason in zip(wanted, done.flows, done.reasons, strict=True):
            if reason:
                left_out[f"{dataset.name}: {reason}"] += 1
            else:
                samples.append(sample)
                flows.append(flow)
    for reason, count in left_out.items():
        log.warning("%d not used, %s", count, reason)
    if not samples:
        raise UsageError("no micro-expression in these data sets can be learnt from; `streamfer dataset check` says more")
    return MicroData(tuple(samples), np.stack(flows), dict(left_out))


Wanted = tuple[Sample, "Clip", "Annotation"]


def _wanted(dataset: Dataset, left_out: Counter[str]) -> Iterator[Wanted]:
    try:
        part = recognition.part_of(dataset.name)
    except UsageError:
        yield from _by_scheme(dataset, left_out)
        return
    listed = {(sample.subject, sample.clip): sample for sample in recognition.composite([dataset])}
    for clip in dataset.clips:
        sample = listed.get((clip.subject, clip.name))
        if sample is None:
            left_out[f"{dataset.name}: not in the composite of MEGC 2019"] += 1
            continue
        note = next(a for a in clip.annotations
                    if a.kind == "micro" and recognition.class_of(part, a.emotion) is not None)  # fmt: skip
        yield sample, clip, note


def _by_scheme(dataset: Dataset, left_out: Counter[str]) -> Iterator[Wanted]:
    from streamfer.datasets import emotions

    for clip in dataset.clips:
        micro = [note for note in clip.annotations if note.kind == "micro"]
        for number, note in enumerate(micro, 1):
            label = emotions.scheme(note.emotion, 3, dataset.name)
            if label is None:
                left_out[f"{dataset.name}: its emotion is none of the three classes"] += 1
                continue
            name = clip.name if len(micro) == 1 else f"{clip.name}#{number}"
            yield Sample(dataset.name, clip.subject, name, CLASSES.index(label)), clip, note


# ------------------------------------------------------------------------------------------------ flows


@dataclass(frozen=True, slots=True)
class _Flows:
    flows: np.ndarray  # (N, 3, 28, 28)
    reasons: tuple[str, ...]  # "" where there is a flow


def _cached(dataset: Dataset, wanted: list[Wanted], cache: Path) -> _Flows:
    key = repr([_VERSION, [(str(clip.path.resolve()), clip.fps, *_moments(note)) for _, clip, note in wanted]])
    path = cache / f"flows-{dataset.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.npz"
    if path.exists():
        with np.load(path) as file:
            return _Flows(file["flows"], tuple(str(reason) for reason in file["reasons"]))
    done = _compute(dataset, wanted)
    cache.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part.npz")
    np.savez_compressed(part, flows=done.flows, reasons=np.array(done.reasons, str))
    part.replace(path)
    return done


def _compute(dataset: Dataset, wanted: list[Wanted]) -> _Flows:
    from streamfer.faces.landmarks import open_landmarks

    flows = np.zeros((len(wanted), 3, INPUT_PX, INPUT_PX), np.float32)
    reasons = [""] * len(wanted)
    by_clip: dict[str, list[int]] = {}
    for number, (_, clip, _) in enumerate(wanted):
        by_clip.setdefault(clip.name, []).append(number)
    finder = open_landmarks(Faces())
    try:
        for count, numbers in enumerate(by_clip.values(), 1):
            clip = wanted[numbers[0]][1]
            moments = {number: _moments(wanted[number][2]) for number in numbers}
            faces = _faces(clip, {frame for pair in moments.values() for frame in pair if frame is not None}, finder)
            for number, (onset, apex) in moments.items():
                if onset is None or apex is None:
                    reasons[number] = "no onset, or neither apex nor offset"
                elif apex <= onset:
                    reasons[number] = "the apex is not after the onset"
                elif onset not in faces or apex not in faces:
                    reasons[number] = "a frame of it cannot be read"
                elif (first := faces[onset]) is None or (second := faces[apex]) is None:
                    reasons[number] = "no face was found at its onset or apex"
                else:
                    flows[number] = flow_input(first, second)
            if count % 50 == 0 or count == len(by_clip):
                log.info("%s: flow of %d of %d clips", dataset.name, count, len(by_clip))
    finally:
        finder.close()
    return _Flows(flows, tuple(reasons))


def _moments(note: Annotation) -> tuple[int | None, int | None]:
    """Onset and apex, frames of the clip; the middle where there is no apex."""
    apex = note.apex
    if apex is None and note.onset is not None and note.offset is not None:
        apex = (note.onset + note.offset) // 2
    return note.onset, apex


def _faces(clip: Clip, frames: set[int], finder: LandmarkFinder) -> dict[int, FacePicture | None]:
    """The largest face in each of these frames, None where there is none; a frame that cannot be read is missing."""
    from streamfer.records import Frame

    found: dict[int, FacePicture | None] = {}
    try:
        for number, image in _pictures(clip, frames):
            finder.reset()
            meshes = finder.find(Frame(0, 0.0, image))
            points = max((mesh.points for mesh in meshes), key=lambda p: float(np.ptp(p[:, 0])), default=None)
            found[number] = None if points is None else FacePicture(image, points)
    except SourceError as error:
        log.warning("%s", error)
    return found


def _pictures(clip: Clip, frames: set[int]) -> Iterator[tuple[int, np.ndarray]]:
    """(number, image) of these frames, counted in the order of the clip's own files or pictures."""
    if clip.path.is_dir():
        from streamfer.video.frames import frame_files, read_picture

        files = frame_files(clip.path)
        for number in sorted(frames):
            image = read_picture(files[number]) if number < len(files) else None
            if image is not None:
                yield number, image
        return
    from streamfer.video import open_video

    last = max(frames, default=-1)
    with open_video(clip.path, Video(fps=clip.fps)) as source:
        for number, frame in enumerate(source):
            if number in frames:
                yield number, frame.image
            if number >= last:
                return
