"""The evidence table of one event: the only facts that an explanation may use.

`Evidence.of(event, floor)` keeps the action units whose change from onset to apex reaches the floor, strongest first,
joins the two sides of one action unit (the higher side is the score, as in FACS), lists separately the ones that
eased, and relates the movement of the regions (optical flow, another measurement than the AU model) to each action
unit: does it agree with what the action unit does, or go the other way?

It holds no opinion on what the actions mean: that is rules.py. Nothing here looks at a picture.

`EXPECTED_MOTION` follows the descriptions of appearance changes in FACS (Ekman, Friesen & Hager 2002); action units
whose direction is not clear-cut (14, 23, 24 ...) are left out, so that nothing is claimed for them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from streamfer.action_units import facs
from streamfer.expllm.text import facs_letter
from streamfer.records import LABELS, Event, Expressed, Kind, Label, Measure, RegionMotion, Side

EvidenceKind = Literal[Kind, "still"]

MOTION_FLOOR = 0.01
"""Movement in IED below which a region is not quoted: the landmark jitter of a still face is about as large."""

AGREES = 0.5
"""Cosine between measured and expected direction from which movement supports an action unit (60 degrees)."""

EXPECTED_MOTION: dict[int, tuple[tuple[str, float, float], ...]] = {
    # AU: (region without its side, outward, upward); the first region that moved is quoted
    1: (("brow_inner", 0.0, 1.0),),
    2: (("brow_outer", 0.0, 1.0),),
    4: (("brow_inner", -0.4, -0.9),),
    5: (("lid_upper", 0.0, 1.0),),
    6: (("cheek", 0.0, 1.0),),
    7: (("lid_lower", 0.0, 1.0),),
    9: (("nose_wing", 0.0, 1.0),),
    10: (("lip_upper", 0.0, 1.0), ("nose_wing", 0.0, 1.0)),
    12: (("mouth_corner", 0.7, 0.7),),
    13: (("mouth_corner", 0.0, 1.0),),
    15: (("mouth_corner", 0.0, -1.0),),
    16: (("lip_lower", 0.0, -1.0),),
    17: (("chin", 0.0, 1.0), ("lip_lower", 0.0, 1.0)),
    18: (("mouth_corner", -1.0, 0.0),),
    20: (("mouth_corner", 1.0, 0.0),),
    25: (("lip_lower", 0.0, -1.0),),
    26: (("chin", 0.0, -1.0),),
    27: (("chin", 0.0, -1.0),),
    43: (("lid_upper", 0.0, -1.0),),
    45: (("lid_upper", 0.0, -1.0),),
}


@dataclass(frozen=True, slots=True)
class AUEvidence:
    """One action unit that moved. `side` is the person's own; `stronger` the side that moved more, if one did."""

    number: int
    name: str  # the name in the FACS manual
    side: Side
    intensity: float  # at the apex, 0-5
    delta: float  # against the onset
    stronger: Literal["left", "right"] | None = None
    source: Measure = "model"  # which instrument gave the intensity

    @property
    def code(self) -> str:
        return f"AU{self.number}"

    @property
    def letter(self) -> str:
        return facs_letter(self.intensity)

    @property
    def unilateral(self) -> bool:
        return self.side != "both"


@dataclass(frozen=True, slots=True)
class Support:
    """Movement of a region set against an action unit."""

    motion: RegionMotion
    region: str  # "mouth_corner"
    side: Literal["left", "right"] | None
    outward: float  # unit vector in the person's face; of regions in the middle: towards the person's left
    upward: float
    agrees: bool  # False: it went the other way


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was measured in one event. `aus` sorted by change, largest first; times on the source's clock."""

    event_id: str
    person: str
    kind: EvidenceKind
    aus: tuple[AUEvidence, ...]
    eased: tuple[AUEvidence, ...]  # fell by at least the floor; their intensity is what was left at the apex
    motion: tuple[RegionMotion, ...]  # at least MOTION_FLOOR, largest first
    onset_s: float
    apex_s: float
    offset_s: float
    rise_s: float
    duration_s: float
    flags: tuple[str, ...]
    score: float
    floor: float
    expressed: Expressed | None = None  # what the expression model makes of the whole face

    @classmethod
    def still(cls, picture_id: str, intensities: Mapping[str, float], floor: float, expressed: Expressed) -> Evidence:
        """From one picture: AU intensities by column name (`AU12_L`), 0-5, held against a face at rest (0).

        A still has no times and no movement; a side is named when the other side stays under the floor, or is weaker by
        half a FACS step.
        """
        by_number: dict[int, list[_Part]] = {}
        for column, intensity in intensities.items():
            number, side = facs.parse(column)
            if intensity >= floor:
                by_number.setdefault(number, []).append((side, intensity, intensity, "model"))
        aus = [joint for number, parts in by_number.items() if (joint := _join(number, parts))]
        aus.sort(key=lambda au: (-au.delta, au.number))
        return cls(picture_id, "", "still", tuple(aus), (), (), 0.0, 0.0, 0.0, 0.0, 0.0, (), 1.0, floor, expressed)

    @classmethod
    def of(cls, event: Event, floor: float) -> Evidence:
        """From an event. `floor` is the change (FACS units) below which an action unit is no evidence.

        Raises ValueError for an AU that FACS does not have.
        """
        by_number: dict[int, list[_Part]] = {}
        for change in event.aus:
            number, side = facs.parse(change.au)
            if side == "both" and facs.UNITS[number].sided:
                side = change.side
            by_number.setdefault(number, []).append((side, change.intensity, change.delta, change.source))
        joined = [
            joint
            for number, parts in by_number.items()
            for wanted in (
                [p for p in parts if p[2] >= floor and p[2] > 0],
                [p for p in parts if p[2] <= -floor and p[2] < 0],
            )
            if wanted and (joint := _join(number, wanted))
        ]
        moved = sorted(joined, key=lambda au: (-abs(au.delta), au.number))
        return cls(
            event_id=event.id,
            person=event.person,
            kind=event.kind,
            aus=tuple(au for au in moved if au.delta > 0),
            eased=tuple(au for au in moved if au.delta < 0),
            motion=tuple(
                sorted((m for m in event.motion if m.distance >= MOTION_FLOOR), key=lambda m: (-m.distance, m.region))
            ),
            onset_s=event.onset.time_s,
            apex_s=event.apex.time_s,
            offset_s=event.offset.time_s,
            rise_s=event.rise_s,
            duration_s=event.duration_s,
            flags=event.flags,
            score=event.score,
            floor=floor,
            expressed=event.expressed,
        )

    @property
    def visible(self) -> bool:
        """Is there any action above the floor? In a still, which has no onset to differ from, the whole face counts too."""
        return bool(self.aus) or (self.kind == "still" and self.whole_face not in (None, "neutral"))

    @property
    def whole_face(self) -> Label | None:
        """The label that the expression model gives the whole face at the apex by half of its probability or more."""
        if self.expressed is None or self.expressed.best[1] < 0.5:
            return None
        return self.expressed.best[0]

    @property
    def numbers(self) -> frozenset[int]:
        return frozenset(au.number for au in self.aus)

    def get(self, number: int) -> AUEvidence | None:
        return next((au for au in self.aus if au.number == number), None)

    def delta(self, number: int) -> float:
        """Change of an action unit, 0 when it is not in evidence."""
        au = self.get(number)
        return au.delta if au else 0.0

    def support(self, au: AUEvidence) -> Support | None:
        """The largest movement that clearly agrees with the action unit, else one that clearly contradicts it."""
        found: list[Support] = []
        for region, out, up in EXPECTED_MOTION.get(au.number, ()):
            for motion in self.motion:
                name, side = split_region(motion.region)
                if name != region or (side and au.side not in ("both", side)):
                    continue
                right, upward = (f(math.radians(motion.direction_deg)) for f in (math.cos, math.sin))
                outward = -right if side == "right" else right  # the person's left is on the right of the picture
                cosine = (outward * out + upward * up) / math.hypot(out, up)
                if abs(cosine) >= AGREES:
                    found.append(Support(motion, name, side, outward, upward, cosine > 0))
        found.sort(key=lambda s: (not s.agrees, -s.motion.distance))
        return found[0] if found else None

    def table(self) -> str:
        """The same as plain text, one fact a line: for prompts of models and for people who want to check."""
        lines = ["one still picture, held against a face at rest"] if self.kind == "still" else [
            f"kind: {self.kind}; onset {self.onset_s:.2f} s, apex {self.apex_s:.2f} s, offset {self.offset_s:.2f} s; "
            f"rise {self.rise_s:.2f} s, duration {self.duration_s:.2f} s; screener score {self.score:.2f}"
        ]
        lines += [
            f"{au.code} {au.name}, {_side_words(au)}: intensity {au.intensity:.1f} (FACS {au.letter}), {au.delta:+.1f}"
            + (", from the movement of the region" if au.source == "movement" else "")
            for au in (*self.aus, *self.eased)
        ] or [f"no action unit changed by {self.floor:g} or more: no visible action"]
        lines += [f"{m.region} moved {m.distance * 100:.1f} % IED {m.direction}" for m in self.motion]
        if self.expressed is not None:
            lines.append(f"expression model, whole face: {read_out(self.expressed.apex)}"
                         + ("" if self.kind == "still" else f" at the apex; {read_out(self.expressed.onset)} at onset"))  # fmt: skip
        lines += [f"caution: {flag}" for flag in self.flags]
        return "\n".join(lines)


def read_out(probabilities: Sequence[float]) -> str:
    """'happiness 0.83, neutral 0.10': labels from 0.1 on, likeliest first, at most three."""
    order = sorted(range(len(LABELS)), key=lambda i: -probabilities[i])
    return ", ".join(f"{LABELS[i]} {probabilities[i]:.2f}" for n, i in enumerate(order[:3]) if not n or probabilities[i] >= 0.1)


def split_region(region: str) -> tuple[str, Literal["left", "right"] | None]:
    """'mouth_corner_L' -> ('mouth_corner', 'left'); 'chin' -> ('chin', None)."""
    for ending, side in (("_L", "left"), ("_R", "right")):
        if region.endswith(ending):
            return region[:-2], side  # type: ignore[return-value]
    return region, None


_Part = tuple[Side, float, float, Measure]  # side, intensity, change, what measured them


def _join(number: int, parts: list[_Part]) -> AUEvidence:
    """One entry for the sides of an action unit; the side with more change is the score."""
    side, intensity, delta, source = max(parts, key=lambda p: abs(p[2]))
    stronger: Literal["left", "right"] | None = None
    if len({p[0] for p in parts}) > 1:
        others = [abs(p[2]) for p in parts if p[0] != side]
        if side != "both" and abs(delta) - max(others) >= 0.5:  # half a FACS step: more than a rounding difference
            stronger = side
        side = "both"
    return AUEvidence(number, facs.name(number), side, intensity, delta, stronger, source)


def _side_words(au: AUEvidence) -> str:
    if au.side == "both":
        return f"both sides, more on the {au.stronger}" if au.stronger else "both sides or whole face"
    return f"{au.side} side only"
