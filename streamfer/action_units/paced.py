"""AU intensities of every frame, from a model that looks at the skin only a few times a second.

    units = PacedModel.of(AUModel.load("perception"), config.action_units)
    intensities = units.read(frame, faces)          # (N, K), 0-5

A network on the face's picture costs more than all else that is measured on a face, and what it adds to the landmarks
(the furrow of a frown, a wrinkled nose, a raised cheek) does not change from one frame to the next. So every frame is read from
the landmarks, and what the picture adds is measured `look_hz` times a second and moved to in a straight line until the next
look: it follows with a delay of up to 1 / look_hz and has no steps, which would look like onsets. A face's first look, and
the first after `GAP_S` without one, counts at once.

Only for models with the AUs of the bundled landmark model, as `perception` has. Any other model that looks at pictures is
run on every frame, and so is every model with `look_hz` 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from streamfer.action_units.model import MAX_INTENSITY, AUModel
from streamfer.records import Face, Frame

if TYPE_CHECKING:
    from streamfer.config import ActionUnits

GAP_S = 0.5
_EARLY = 0.999  # of the interval: times that were rounded must not put a look off by a frame


@dataclass(slots=True)
class _Look:
    time_s: float
    before: np.ndarray  # (K,) what the picture added when it was looked at ...
    added: np.ndarray  # (K,) ... and what it was seen to add then

    def at(self, time_s: float, look_hz: float) -> np.ndarray:
        part = min(1.0, max(0.0, (time_s - self.time_s) * look_hz))
        return self.before + (self.added - self.before) * np.float32(part)


class PacedModel:
    """Give the frames of one source in their order. `forget` tracks that have ended."""

    def __init__(self, model: AUModel, steady: AUModel | None, look_hz: float) -> None:
        paced = steady is not None and look_hz > 0 and model.needs_crop and model.names == steady.names
        self._model, self._steady = model, steady if paced else None
        self._look_hz = look_hz
        self._looks: dict[int, _Look] = {}

    @classmethod
    def of(cls, model: AUModel, options: ActionUnits) -> PacedModel:
        """Paced by the bundled landmark model where `model` looks at pictures."""
        wanted = model.needs_crop and options.look_hz > 0
        steady = AUModel.load("landmarks", device=options.device, threads=options.threads) if wanted else None
        return cls(model, steady, options.look_hz)

    def read(self, frame: Frame, faces: Sequence[Face]) -> np.ndarray:
        """Intensities (N, K) float32, 0-5, of the N faces of a frame."""
        if not faces or self._steady is None:
            return self._whole(frame, faces)
        intensities = self._steady.predict([face.landmarks for face in faces])
        due = [i for i, face in enumerate(faces) if self._is_due(face.track, frame.time_s)]
        if due:
            seen = self._whole(frame, [faces[i] for i in due])
            for i, whole in zip(due, seen, strict=True):
                self._remember(faces[i].track, frame.time_s, whole - intensities[i])
        added = np.stack([self._looks[face.track].at(frame.time_s, self._look_hz) for face in faces])
        return np.clip(intensities + added, 0.0, MAX_INTENSITY)

    def forget(self, track: int) -> None:
        self._looks.pop(track, None)

    def _whole(self, frame: Frame, faces: Sequence[Face]) -> np.ndarray:
        return self._model.predict([face.landmarks for face in faces], self._model.crops(frame.image, faces))

    def _is_due(self, track: int, time_s: float) -> bool:
        last = self._looks.get(track)
        return last is None or time_s - last.time_s >= _EARLY / self._look_hz

    def _remember(self, track: int, time_s: float, added: np.ndarray) -> None:
        last = self._looks.get(track)
        fresh = last is None or time_s - last.time_s > GAP_S
        before = added if fresh or last is None else last.at(time_s, self._look_hz)
        self._looks[track] = _Look(time_s, before, added)
