"""Training faces with exact truth: the ICT face made to move, drawn, and read by the landmark network.

Each person is drawn in several views (pose, light, lens, background), each view in several expressions, and every
picture goes through the same `FaceMesh` that measures video. What comes out is what the network *sees* of a movement,
not the movement itself, paired with the unit weights that made it.

Truth: AU = 5 x weight, the largest where several ICT units map to one AU (facs.UNITS[...].ict). AU25 is no unit: it is
the gap between the inner lips over that of the person at rest, 5 at `LIP_GAP_5`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamfer.action_units import facs
from streamfer.action_units.emotions import PROTOTYPES
from streamfer.config import Faces
from streamfer.faces.landmarks import FaceMesh
from streamfer.records import Frame
from streamfer.training.ict_face import IctFace, random_paint
from streamfer.training.render import Renderer, random_background, random_view, spoil

log = logging.getLogger(__name__)

LIP_GAP_5 = 0.4
"""Gap between the inner lips, in IED, that counts as AU25 = 5: about 14 mm."""

SIZE_PX = 320
_GAZE = ("Up", "Down", "In", "Out")
_NUISANCE = (
    "jawForward", "jawLeft", "jawRight", "mouthLeft", "mouthRight", "mouthFunnel", "cheekPuff", "mouthShrugUpper",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Renders:
    """N pictures as numbers. `person` and `view` say which belong together."""

    landmarks: np.ndarray  # (N, 478, 3) float32, pixels
    weights: np.ndarray  # (N, 57) float32, unit weights 0-1
    lip_gap: np.ndarray  # (N,) float32, IED over rest
    person: np.ndarray  # (N,) int32
    view: np.ndarray  # (N,) int32, unique over persons
    unit_names: tuple[str, ...]
    missed: int  # pictures in which no face was found

    def save(self, path: Path) -> None:
        np.savez(path, **{name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def load(cls, path: Path) -> Renders:
        with np.load(path) as data:
            arrays = {name: data[name] for name in cls.__slots__}
        arrays["unit_names"] = tuple(map(str, arrays["unit_names"]))
        arrays["missed"] = int(arrays["missed"])
        return cls(**arrays)

    def truth(self, columns: tuple[str, ...]) -> np.ndarray:
        """Intensities (N, K), 0-5."""
        return np.stack([self._column(column) for column in columns], axis=1).astype(np.float32)

    def _column(self, column: str) -> np.ndarray:
        number, side = facs.parse(column)
        if number == 25:
            return 5 * np.clip(self.lip_gap / LIP_GAP_5, 0, 1)
        ending = {"left": ("_L",), "right": ("_R",), "both": ("",)}[side]
        units = [self.unit_names.index(u) for u in facs.UNITS[number].ict if u.endswith(ending)]
        return 5 * np.clip(self.weights[:, units].max(axis=1), 0, 1)


def make_renders(
    data: Path, people: int, views: int, expressions: int, seed: int, watch: Callable[[np.ndarray], None] | None = None
) -> Renders:
    """people x views x expressions pictures; about 40 ms of one core each. `watch` is shown those with a face found."""
    face = IctFace(data)
    renderer = Renderer(face, SIZE_PX)
    finder = FaceMesh(Faces(max_faces=1, min_detection=0.3, min_tracking=0.3))
    rows: list[tuple[np.ndarray, np.ndarray, float, int, int]] = []
    missed = 0
    for person in range(people):
        rng = np.random.default_rng([seed, person])
        rest = face.person(rng.normal(0, rng.uniform(0.5, 1.1), len(face.identities)))
        paint = random_paint(rng)
        renderer.wear(face.texture(paint, rng), paint)
        rest_gap = face.lip_gap(rest)
        for v in range(views):
            view, background = random_view(rng), random_background(rng, SIZE_PX)
            finder.reset()
            for e in range(expressions):
                weights = random_expression(face, rng)
                vertices = face.express(rest, weights)
                picture = spoil(renderer.draw(vertices, view, background), rng)
                found = finder.find(Frame(e, e / 25, picture))
                if e == 0 and found:  # the first one is placed by the detector: look again as tracking would
                    found = finder.find(Frame(e, e / 25 + 0.01, picture))
                if not found:
                    missed += 1
                    continue
                if watch is not None:
                    watch(picture)
                gap = face.lip_gap(vertices) - rest_gap
                rows.append((found[0].points, weights, gap, person, person * views + v))
        if person % 20 == 19:
            log.info("%d of %d people, %d pictures, %d faces not found", person + 1, people, len(rows), missed)
    finder.close()
    points, weights_, gaps, persons, view_ids = zip(*rows, strict=True)
    return Renders(
        np.stack(points).astype(np.float32),
        np.stack(weights_).astype(np.float32),
        np.array(gaps, np.float32),
        np.array(persons, np.int32),
        np.array(view_ids, np.int32),
        face.unit_names,
        missed,
    )


_MOVABLE = tuple(n for n, unit in facs.UNITS.items() if unit.ict and n not in (8, 27, 28, 29, 30, 34, 45, 46) and n < 60)
_RECIPES: tuple[tuple[int, ...], ...] = (
    *(tuple(n for n in sorted(aus) if n in _MOVABLE) for table in PROTOTYPES.values() for aus in table.values()),
    (1, 2), (12,), (6, 7, 12), (9, 10), (4, 7, 9), (15, 17), (17, 24), (4, 7), (1, 4), (23, 24), (12, 26), (20, 26),
)  # fmt: skip


def random_expression(face: IctFace, rng: np.random.Generator) -> np.ndarray:
    """Unit weights (57,): at rest, one AU, a known combination, or a random one; weak as often as strong."""
    weights = np.zeros(len(face.unit_names))
    kind = rng.choice(["rest", "one", "known", "random"], p=[0.12, 0.28, 0.35, 0.25])
    if kind == "one":
        numbers: list[int] = [int(rng.choice(_MOVABLE))]
    elif kind == "known":
        numbers = list(_RECIPES[rng.integers(len(_RECIPES))])
        numbers += [int(n) for n in rng.choice(_MOVABLE, rng.integers(0, 3))]
    elif kind == "random":
        numbers = [int(n) for n in rng.choice(_MOVABLE, rng.integers(2, 6), replace=False)]
    else:
        numbers = []
    overall = rng.uniform(0, 0.45) if rng.random() < 0.45 else rng.uniform(0, 1)
    for number in dict.fromkeys(numbers):
        _move(face, weights, number, overall * rng.uniform(0.6, 1.3) if kind != "one" else overall, rng)
    if weights[face.unit("eyeBlink_L")] or weights[face.unit("eyeBlink_R")]:
        weights[[face.unit("eyeWide_L"), face.unit("eyeWide_R")]] = 0  # an eye cannot do both
    if rng.random() < 0.5:
        _look(face, weights, rng)
    for name in _NUISANCE:
        if rng.random() < 0.04:
            for unit in (name,) if name in face.unit_names else (f"{name}_L", f"{name}_R"):
                weights[face.unit(unit)] = rng.uniform(0, 0.7)
    return np.clip(weights, 0, 1)


def _move(face: IctFace, weights: np.ndarray, number: int, strength: float, rng: np.random.Generator) -> None:
    unit = facs.UNITS[number]
    sides = {"_L": 1.0, "_R": 1.0}
    if unit.sided and rng.random() < 0.25:
        sides[str(rng.choice(["_L", "_R"]))] = rng.uniform(0, 0.2) if rng.random() < 0.5 else 0.0
    for side in sides:
        sides[side] *= rng.uniform(0.85, 1.15)
    for i, name in enumerate(unit.ict):
        share = sides.get(name[-2:], 1.0)
        if number == 6 and name.startswith("cheekSquint"):
            share *= rng.uniform(0, 1)
        if number == 23 and i:
            share *= rng.uniform(0.7, 1.0)
        weights[face.unit(name)] = max(weights[face.unit(name)], strength * share)


def _look(face: IctFace, weights: np.ndarray, rng: np.random.Generator) -> None:
    """Both eyes to one side and up or down."""
    across, height = rng.normal(0, 0.35, 2)
    left, right = ("Out", "In") if across > 0 else ("In", "Out")
    for name, value in (
        (f"eyeLook{left}_L", abs(across)), (f"eyeLook{right}_R", abs(across)),
        *((f"eyeLook{'Up' if height > 0 else 'Down'}_{s}", abs(height)) for s in "LR"),
    ):  # fmt: skip
        weights[face.unit(name)] = value
