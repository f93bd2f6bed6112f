"""What nano learns from: faces with labels, pairs of renders with known movement, and events that were made up.

    stills = fer_stills(path, encoder, ...)      # FER+ photographs: evidence as measured, label as voted
    pairs = render_pairs(crops, renders, ...)    # ICT-FaceKit: onset and apex of one person in one view
    cases = made_up(20000, seed=1)               # evidence without pictures: every action unit, side, flag and strength

Each gives `engine.Case`s, whose texts the engine writes, and the `Looks` their rows point to. AU intensities are those
that the product's own models measure on the pictures, never the truth of the render: the text must fit what will be
measured. A photograph has no onset; its AUs are held against `rest`, the median reading on photographs voted neutral.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from streamfer.action_units import facs
from streamfer.action_units.emotions import MICRO_SHARE, PROTOTYPES
from streamfer.action_units.model import AUModel, Encoded
from streamfer.evaluation.expression import majority
from streamfer.expllm.engine import Case
from streamfer.expllm.evidence import EXPECTED_MOTION, Evidence, EvidenceKind
from streamfer.expllm.look import local_points, looks_of
from streamfer.expllm.model import Looks
from streamfer.expllm.patches import Pictures
from streamfer.records import LABELS, AUChange, Event, Expressed, Label, Moment, RegionMotion, Side
from streamfer.screening.flow import REGION_POINTS
from streamfer.training.augment import centre
from streamfer.training.face_crops import CROP_PX, FaceCrops, in_batches
from streamfer.training.renders import Renders

FLOOR, STILL_FLOOR = 0.5, 1.0
"""AU change that is evidence: against the onset, and against other people's rest, which is a coarser measure."""
_OCTANTS = ("right", "up-right", "up", "up-left", "left", "down-left", "down", "down-right")


def encoded(model: AUModel, faces: FaceCrops) -> Encoded:
    """All outputs of the encoder for grey crops; a face without a mesh goes in without landmarks."""
    parts = []
    grey = centre(torch.from_numpy(faces.crops))[:, 0].numpy().astype(np.uint8)
    for rows in in_batches(len(faces), 256):
        crops = [np.repeat(crop[..., None], 3, axis=2) for crop in grey[rows]]
        parts.append(model.encode(list(faces.landmarks[rows]), crops))
    return Encoded(*(np.concatenate([getattr(part, name) for part in parts]) for name in Encoded._fields))


def compact(looks: Looks) -> Looks:
    """In half precision: tens of thousands are kept in memory."""
    return Looks(*(getattr(looks, name).half() for name in looks.__slots__))


def rest_of(intensity: np.ndarray, labels: np.ndarray, found: np.ndarray) -> np.ndarray:
    """(K,) the median reading on faces voted neutral."""
    return np.median(intensity[(labels == LABELS.index("neutral")) & found], axis=0)


def still_cases(
    name: str, votes: np.ndarray, faces: FaceCrops, seen: Encoded, names: tuple[str, ...], rest: np.ndarray, source: str,
    looked: Sequence[tuple[float, ...]] | None = None,
) -> Iterator[Case]:  # fmt: skip
    """FER+ photographs that have a majority and a mesh, as cases with their truth; `row` is the photograph's.

    `looked`: where the encoder looked in each of them (expression/facemaps.looked_at).
    """
    labels = majority(votes)
    for i in np.flatnonzero((labels >= 0) & faces.found):
        above = np.clip(seen.intensity[i] - rest, 0, 5)
        probabilities = tuple(float(p) for p in np.round(seen.expression[i], 4))
        evidence = Evidence.still(
            f"{name}-{i}", dict(zip(names, map(float, np.round(above, 3)), strict=True)), STILL_FLOOR,
            Expressed(probabilities, probabilities, source, looked[i] if looked else None),
        )  # fmt: skip
        yield Case(f"{name}-{i}", evidence, LABELS[labels[i]], (f"{name}#{i}",), int(i))


def render_pairs(
    renders: Renders,
    faces: FaceCrops,
    seen: Encoded,
    names: tuple[str, ...],
    source: str,
    seed: int,
    each: int = 5,
    *,
    pictures: bool = False,
) -> tuple[list[Case], Looks | Pictures]:
    """Onset and apex of one person in one view: from the calmest picture of the view to `each` others."""
    rng = random.Random(seed)
    strength = renders.weights.sum(axis=1)
    pairs = []
    for view in np.unique(renders.view):
        rows = np.flatnonzero(renders.view == view)
        calm = rows[strength[rows].argmin()]
        others = [row for row in rows if row != calm]
        pairs += [(calm, apex) for apex in rng.sample(others, min(each, len(others)))]
    onset, apex = (np.array(column) for column in zip(*pairs, strict=True))
    cases = []
    for n, (a, b) in enumerate(pairs):
        share = rng.choice((0.3, 0.6, 1.0, 1.0))  # a smaller movement of the same kind is as good an event
        change = (seen.intensity[b] - seen.intensity[a]) * share
        aus = _changes(names, seen.intensity[a], change)
        motion = _motion(faces.landmarks[a], faces.landmarks[b], share)
        kind: EvidenceKind = "micro" if np.abs(change).max() < 2.5 and rng.random() < 0.6 else "macro"
        calm_face, shown = (tuple(float(p) for p in np.round(seen.expression[i], 4)) for i in (a, b))
        expressed = Expressed(calm_face, shown, source)
        event = _event(f"render-{seed}-{n}", kind, aus, motion, _flags(rng), expressed, rng)
        cases.append(Case(event.id, Evidence.of(event, FLOOR), None, (), n))

    def rows_of(rows: np.ndarray) -> Encoded:
        return Encoded(*(getattr(seen, name)[rows] for name in Encoded._fields))

    if pictures:
        return cases, Pictures.of_crops(faces.crops[apex], faces.crops[onset])
    points = local_points(faces.landmarks[apex], CROP_PX)
    return cases, looks_of(rows_of(apex), rows_of(onset), points)


def made_up(count: int, seed: int) -> Iterator[Case]:
    """Events of every kind, without pictures: action units as they go together, and as they do not."""
    rng = random.Random(seed)
    every = sorted(
        {*(n for table in PROTOTYPES.values() for units in table.values() for n in units), 18, 22, 28, 43, 45}
    )
    for n in range(count):
        micro = rng.random() < 0.5
        label = rng.choice([name for name in LABELS if name != "neutral"])
        if rng.random() < 0.75:
            tables = [t[label] for t in (MICRO_SHARE if micro else PROTOTYPES).values() if label in t]
            listed = sorted(rng.choice(tables)) if tables else []
            numbers = set(rng.sample(listed, min(len(listed), rng.randint(1, 5))))
        else:
            numbers = set()
        numbers |= set(rng.sample(every, rng.choice((0, 0, 1, 1, 2, 3))))
        numbers = numbers or {rng.choice(every)}
        one_sided = rng.random() < 0.25
        aus: list[AUChange] = []
        for number in numbers:
            size = rng.uniform(0.3, 2.6) if micro else rng.uniform(0.5, 5.0)
            before = rng.choice((0.0, 0.0, 0.0, rng.uniform(0, 2.0)))
            source = rng.choice(("model", "model", "model", "movement"))
            aus += _made_up(number, size, min(before, 5 - size), source, one_sided, rng)
        if rng.random() < 0.15:
            number = rng.choice(every)
            if number not in numbers:
                aus.append(AUChange(f"AU{number:02d}", "both", rng.uniform(0, 1.0), -rng.uniform(0.6, 2.0)))
        expressed = None if rng.random() < 0.15 else _expressed(label, micro, rng)
        kind: EvidenceKind = "micro" if micro else "macro"
        event = _event(f"made-up-{seed}-{n}", kind, tuple(aus), _made_up_motion(aus, rng), _flags(rng), expressed, rng)
        yield Case(event.id, Evidence.of(event, FLOOR), None)


def _event(
    name: str, kind: EvidenceKind, aus: tuple[AUChange, ...], motion: tuple[RegionMotion, ...], flags: tuple[str, ...],
    expressed: Expressed | None, rng: random.Random,
) -> Event:  # fmt: skip
    start_s = round(rng.choice((rng.uniform(0, 60), rng.uniform(0, 7200))), 2)
    length_s = rng.uniform(0.12, 0.5) if kind == "micro" else rng.uniform(0.5, 6.0)
    rise_s = length_s * rng.uniform(0.25, 0.7)
    onset, apex, offset = (Moment(round(t * 30), t) for t in (start_s, start_s + rise_s, start_s + length_s))
    assert kind != "still"
    return Event(
        name, "training", "P1", 1, kind, onset, apex, offset, rise_s, length_s, aus, motion, rng.uniform(0.5, 1), flags,
        expressed=expressed,
    )  # fmt: skip


def _changes(names: tuple[str, ...], before: np.ndarray, change: np.ndarray) -> tuple[AUChange, ...]:
    """As the screener names them: the sides of one action unit in one entry where both moved alike."""
    found: dict[int, list[tuple[Side, float, float]]] = {}
    for name, low, delta in zip(names, before, change, strict=True):
        number, side = facs.parse(name)
        if abs(delta) >= FLOOR:
            found.setdefault(number, []).append((side, float(np.clip(low + delta, 0, 5)), float(delta)))
    changes = []
    for number, parts in found.items():
        for side, intensity, delta in parts:
            changes.append(AUChange(f"AU{number:02d}", side, round(intensity, 3), round(delta, 3)))
    return tuple(changes)


def _made_up(
    number: int, size: float, before: float, source: str, one_sided: bool, rng: random.Random
) -> list[AUChange]:
    def change(side: str, delta: float) -> AUChange:
        return AUChange(f"AU{number:02d}", side, min(delta + before, 5.0), delta, source)  # type: ignore[arg-type]

    if not facs.UNITS[number].sided:
        return [change("both", size)]
    if one_sided and rng.random() < 0.6:
        return [change(rng.choice(("left", "right")), size)]
    if rng.random() < 0.3:
        weaker = size * rng.uniform(0.4, 1.0)
        sides = ("left", "right") if rng.random() < 0.5 else ("right", "left")
        return [change(sides[0], size), change(sides[1], weaker)]
    return [change("both", size)]


def _flags(rng: random.Random) -> tuple[str, ...]:
    usual = ("talking", "blink", "head_motion", "low_fps", "edge_of_gap", "edge_of_track", "cut_short")
    return tuple(rng.sample(usual, rng.choice((0, 0, 0, 1, 1, 2))))


def _expressed(label: Label, micro: bool, rng: random.Random) -> Expressed:
    def around(best: str, sure: float) -> tuple[float, ...]:
        rest = [rng.random() ** 3 for _ in LABELS]
        rest[LABELS.index(best)] = 0.0
        whole = sum(rest) or 1.0
        return tuple(
            round(sure if name == best else (1 - sure) * r / whole, 4) for name, r in zip(LABELS, rest, strict=True)
        )

    calm = "neutral" if rng.random() < 0.7 else rng.choice(LABELS)
    shown = calm if rng.random() < (0.7 if micro else 0.2) else rng.choice((label, label, label, rng.choice(LABELS)))
    return Expressed(around(calm, rng.uniform(0.4, 1)), around(shown, rng.uniform(0.35, 1)), "made up")


def _motion(before: np.ndarray, after: np.ndarray, share: float) -> tuple[RegionMotion, ...]:
    """Landmarks (478, 3) of two faces aligned by their eyes -> movement of the regions in IED."""
    from streamfer.training.face_crops import IED_PX

    moved = []
    for region, points in REGION_POINTS.items():
        dx, dy = ((after - before)[list(points), :2].mean(axis=0) * share / IED_PX).tolist()
        moved.append(_region(region, math.hypot(dx, dy), math.degrees(math.atan2(-dy, dx))))
    return tuple(one for one in moved if one.distance >= 0.01)


def _made_up_motion(aus: list[AUChange], rng: random.Random) -> tuple[RegionMotion, ...]:
    """For about half of the action units the movement they should make, now and then the opposite."""
    found: dict[str, RegionMotion] = {}
    for change in aus:
        if rng.random() < 0.5:
            continue
        for name, out, up in EXPECTED_MOTION.get(int(change.au[2:]), ())[:1]:
            wrong = rng.random() < 0.15
            sides = (
                {"left": ["_L"], "right": ["_R"]}.get(change.side, ["_L", "_R"])
                if f"{name}_L" in REGION_POINTS
                else [""]
            )
            for side in sides:
                right = -out if side == "_R" else out
                degrees = math.degrees(math.atan2(up, right)) + rng.gauss(0, 20) + (180 if wrong else 0)
                found[name + side] = _region(name + side, rng.uniform(0.01, 0.15), degrees)
    return tuple(found.values())


def _region(name: str, distance: float, degrees: float) -> RegionMotion:
    degrees = (degrees + 180) % 360 - 180
    return RegionMotion(name, round(distance, 4), round(degrees, 1), _OCTANTS[round(degrees / 45) % 8])
