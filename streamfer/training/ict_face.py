"""The ICT face: a head mesh moved by 57 expression units and 100 identity components, with a painted skin.

ICT-FaceKit (Li et al. 2020, MIT licence) is read from one npz: `neutral` (V, 3) cm, `faces` (F, 3), `expressions`
(57, V, 3) with `expression_names`, `identities` (100, V, 3), `vertex_indices_json`. The mesh has no textures: skin,
brows and lips are painted here, in the front view of the neutral face, so that they move with the mesh. Wrinkles are
not modelled: a lowered brow moves but makes no furrow.

Axes: x to the person's left, y up, z out of the face.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamfer.errors import UsageError

PARTS: dict[str, tuple[int, int]] = {
    # name: vertices from, to (ICT-FaceKit's README); the film over the eyes (24591-25350) is left out
    "skin": (0, 9409), "head": (9409, 11248), "mouth": (11248, 13294), "socket": (13294, 14062),
    "gums": (14062, 17039), "teeth": (17039, 21451), "eye": (21451, 24591), "lash": (25351, 26719),
}  # fmt: skip

PAINT_CM = (-10.0, 10.0, -14.0, 14.0)  # what the painted skin covers: x from, to, y from, to
PAINT_PX = 512


@dataclass(frozen=True, slots=True)
class Paint:
    """How one person's skin looks. Colours are linear RGB 0-1."""

    skin: np.ndarray
    lips: np.ndarray
    brows: np.ndarray
    iris: np.ndarray
    hair: np.ndarray
    brow_width_cm: float
    brow_strength: float
    mottle: float  # unevenness of the skin
    shade: float  # darkness of eye sockets, nostrils and lip line


class IctFace:
    """The mesh; `shape` is linear in everything."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise UsageError(f"ICT-FaceKit data {path} is not there: give the npz made from ICT-FaceKit's model files")
        with np.load(path, allow_pickle=False) as data:
            self.neutral = data["neutral"].astype(np.float32)
            faces = data["faces"].astype(np.int32)
            self.unit_names = tuple(str(name) for name in data["expression_names"])
            self.units = data["expressions"].astype(np.float32)
            self.identities = data["identities"].astype(np.float32)
            self.landmarks68 = np.array(json.loads(str(data["vertex_indices_json"].item()))["idx_to_landmark_verts"])
        self.part = np.full(len(self.neutral), -1, np.int32)
        for number, (start, end) in enumerate(PARTS.values()):
            self.part[start:end] = number
        self.faces = faces[(self.part[faces] >= 0).all(axis=1)]

    def unit(self, name: str) -> int:
        return self.unit_names.index(name)

    def person(self, components: np.ndarray) -> np.ndarray:
        """Neutral face (V, 3) of an identity (100,), standard deviations."""
        return self.neutral + np.tensordot(components.astype(np.float32), self.identities, 1)

    def express(self, person: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """A person (V, 3) with unit weights (57,), 0-1."""
        active = np.flatnonzero(weights)
        return person + np.tensordot(weights[active].astype(np.float32), self.units[active], 1)

    def lip_gap(self, vertices: np.ndarray) -> float:
        """Gap between the inner lips in the middle, in units of the inner-eye distance."""
        points = vertices[self.landmarks68]
        gap = np.linalg.norm(points[[61, 62, 63]] - points[[67, 66, 65]], axis=1).mean()
        return float(gap / np.linalg.norm(points[39] - points[42]))

    def texture(self, paint: Paint, rng: np.random.Generator) -> np.ndarray:
        """The painted skin (PAINT_PX, PAINT_PX, 3) uint8 in the front view, row 0 at the top."""
        import cv2

        points = self.neutral[self.landmarks68]
        image = np.tile(paint.skin.astype(np.float32), (PAINT_PX, PAINT_PX, 1))
        coarse = rng.normal(size=(48, 48)).astype(np.float32)
        fine = rng.normal(size=(256, 256)).astype(np.float32)
        grain = sum(cv2.resize(a, (PAINT_PX, PAINT_PX), interpolation=cv2.INTER_CUBIC) for a in (coarse, 0.5 * fine))
        image *= 1 + paint.mottle * np.asarray(grain)[..., None]

        def blend(mask: np.ndarray, colour: np.ndarray, strength: float) -> None:
            nonlocal image
            image += (mask * strength)[..., None] * (colour.astype(np.float32) - image)

        def soft(draw_cm: float) -> int:
            return max(1, int(draw_cm * _PX_PER_CM)) | 1

        def polygon(loop: np.ndarray, blur_cm: float) -> np.ndarray:
            mask = np.zeros((PAINT_PX, PAINT_PX), np.float32)
            cv2.fillPoly(mask, [_to_paint(loop).round().astype(np.int32)], (1.0,))
            return cv2.GaussianBlur(mask, (0, 0), soft(blur_cm) / 2)

        def spots(centres: np.ndarray, radii_cm: tuple[float, float], blur_cm: float) -> np.ndarray:
            mask = np.zeros((PAINT_PX, PAINT_PX), np.float32)
            axes = (int(radii_cm[0] * _PX_PER_CM), int(radii_cm[1] * _PX_PER_CM_Y))
            for x, y in _to_paint(centres).round().astype(int):
                cv2.ellipse(mask, (int(x), int(y)), axes, 0, 0, 360, (1.0,), -1)
            return cv2.GaussianBlur(mask, (0, 0), soft(blur_cm) / 2)

        dark = paint.skin * np.array([0.35, 0.25, 0.22])
        rosy = np.clip(paint.skin * np.array([1.1, 0.8, 0.78]), 0, 1)
        blend(spots(np.array([[-4.6, -0.6], [4.6, -0.6]]), (1.6, 1.2), 0.8), rosy, 0.4)
        for eye in (points[36:42], points[42:48]):  # the socket above the lid and the rim of the lids
            centre = eye.mean(axis=0)
            blend(spots(np.array([[centre[0], centre[1] + 0.55]]), (1.5, 0.45), 0.5), dark, 0.5 * paint.shade)
            blend(polygon(centre + 1.18 * (eye - centre), 0.12), dark, paint.shade)
        blend(spots(np.array([[-0.55, -0.85], [0.55, -0.85]]), (0.42, 0.2), 0.12), dark * 0.5, paint.shade)
        lips = points[48:60].copy()
        blend(polygon(lips, 0.12), paint.lips, 0.9)
        mouth = np.concatenate([points[[60, 61, 62, 63, 64]], points[[67, 66, 65]][::-1]])
        blend(polygon(mouth, 0.08), dark, paint.shade)
        for start, inward in ((17, 1), (22, -1)):
            brow = points[start : start + 5][::inward]  # from the outer end inwards
            mask = np.zeros((PAINT_PX, PAINT_PX), np.float32)
            path = _spline(_to_paint(brow), 40)
            for i, (a, b) in enumerate(itertools.pairwise(path)):
                width = paint.brow_width_cm * _PX_PER_CM * (0.35 + 0.65 * min(1.0, i / 18))
                cv2.line(mask, a.astype(int).tolist(), b.astype(int).tolist(), (1.0,), max(2, int(width)))
            hairs = 1 + 0.35 * cv2.resize(fine, (PAINT_PX, PAINT_PX))
            blend(np.clip(cv2.GaussianBlur(mask, (0, 0), soft(0.12) / 2) * hairs, 0, 1), paint.brows, paint.brow_strength)
        return (np.clip(image, 0, 1) * 255).astype(np.uint8)


_PX_PER_CM = PAINT_PX / (PAINT_CM[1] - PAINT_CM[0])
_PX_PER_CM_Y = PAINT_PX / (PAINT_CM[3] - PAINT_CM[2])


def _to_paint(points: np.ndarray) -> np.ndarray:
    """Pixels of the painted skin for points (n, 2+) in cm."""
    return np.stack([(points[:, 0] - PAINT_CM[0]) * _PX_PER_CM, (PAINT_CM[3] - points[:, 1]) * _PX_PER_CM_Y], axis=1)


def _spline(points: np.ndarray, count: int) -> np.ndarray:
    from scipy.interpolate import CubicSpline

    return CubicSpline(np.linspace(0, 1, len(points)), points)(np.linspace(0, 1, count))


def random_paint(rng: np.random.Generator) -> Paint:
    """Light to dark skin, fair to black hair, thin to bushy brows."""
    light, dark = np.array([0.93, 0.74, 0.64]), np.array([0.24, 0.14, 0.1])
    skin = np.clip(dark + (light - dark) * rng.beta(1.4, 1.1) + rng.normal(0, 0.025, 3), 0.06, 0.97)
    hair = np.array([0.35, 0.24, 0.14]) * rng.choice([0.12, 0.3, 0.7, 1.5], p=[0.4, 0.3, 0.2, 0.1])
    lips = np.clip(skin * np.array([0.86, 0.55, 0.55]) * rng.uniform(0.75, 1.1), 0, 1)
    return Paint(
        skin=skin,
        lips=lips,
        brows=np.clip(np.minimum(hair, skin * 0.6) * rng.uniform(0.7, 1.2), 0, 1),
        iris=np.array([[0.2, 0.12, 0.06], [0.3, 0.4, 0.5], [0.28, 0.33, 0.2]])[rng.choice(3, p=[0.6, 0.2, 0.2])],
        hair=hair,
        brow_width_cm=rng.uniform(0.35, 0.85),
        brow_strength=rng.uniform(0.55, 0.95),
        mottle=rng.uniform(0.01, 0.04),
        shade=rng.uniform(0.25, 0.7),
    )
