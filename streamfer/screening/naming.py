"""Which action units an event consists of: from AU curves and from where the regions moved.

The AU model gives intensities; on actions of a few per cent of the inner-eye distance its error is as large as the
action (research on SAMM long videos: AU curves alone spot almost no micro-expressions). Movement of regions is the
finer instrument and says which muscle pulled by its direction. So an AU is named when its region moved its way,
or when its curve rose so far that the model alone is to be believed, and the intensity is the larger of both;
`AUChange.source` says which that was.

Directions follow the FACS manual's appearance changes (inner brow up = AU1, brow down and together = AU4, lip corner
up and outward = AU12 ...). Movement cannot tell AUs apart that pull alike (AU14 and AU20; AU25 and AU26): the commoner
in brief actions is named unless the AU curves know better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from streamfer.records import AUChange, Measure, RegionMotion, Side
from streamfer.screening.flow import REGIONS

IED_AT_FULL = 0.35  # a region that moved so far counts as intensity 5
MIN_MOVE_IED = 0.012  # less is no evidence of anything
SHARE_OF_STRONGEST = 0.5  # a region must move at least so much of the strongest one in its half of the face
ALONE_DELTA = 1.0  # rise of a curve that names its AU without any movement seen
BOTH_SHARE = 0.4  # the weaker side counts from this share of the stronger one on

_OCTANTS = ("right", "up-right", "up", "up-left", "left", "down-left", "down", "down-right")
_NOT_NAMED = {"AU43", "AU45", "AU61", "AU62", "AU63", "AU64"}  # closing and turning eyes are no expression


def motion_table(displacement: np.ndarray) -> tuple[RegionMotion, ...]:
    """Displacement (R, 2), IED, x right and y down, as records; regions that did not move are left out."""
    out = []
    for region, (x, y) in zip(REGIONS, displacement, strict=True):
        distance = math.hypot(x, y)
        if distance >= MIN_MOVE_IED:
            angle = math.degrees(math.atan2(-y, x)) % 360.0
            out.append(RegionMotion(region, distance, angle, _OCTANTS[round(angle / 45.0) % 8]))
    return tuple(sorted(out, key=lambda motion: -motion.distance))


def name_aus(
    displacement: np.ndarray, curves: Mapping[str, tuple[float, float]], flow_first: bool
) -> tuple[AUChange, ...]:
    """AUs of an event, strongest first; with `flow_first` those that were seen to move come before the others.

    `displacement` (R, 2) from onset to apex; `curves` maps an AU column ("AU12_L", "AU17") to its corrected intensity
    at the apex and the rise from onset to apex.
    """
    moved = moved_aus(displacement)
    found: dict[tuple[str, str], tuple[float, float, Measure]] = {}
    for (au, side), size in moved.items():
        strength = min(5.0, 5.0 * size / IED_AT_FULL)
        found[au, side] = (strength, strength, "movement")
    for column, (intensity, delta) in curves.items():
        au, _, side = column.partition("_")
        if au in _NOT_NAMED or delta < 0.3:
            continue
        if (au, side) in found:
            by_move = found[au, side][0]
            measure: Measure = "model" if intensity >= by_move else "movement"
            found[au, side] = (max(intensity, by_move), max(delta, by_move), measure)
        elif delta >= ALONE_DELTA:
            found[au, side] = (intensity, delta, "model")
    changes = []
    for au in sorted({au for au, _ in found}):
        sides = {s: values for (name, s), values in found.items() if name == au}
        intensity, delta, measure = max(sides.values(), key=lambda values: values[1])
        kept = {s for s, values in sides.items() if values[1] >= BOTH_SHARE * delta}
        which: Side = "left" if kept == {"L"} else "right" if kept == {"R"} else "both"
        changes.append(AUChange(au, which, round(intensity, 3), round(delta, 3), measure))
    seen = {au for au, _ in moved} if flow_first else set()
    return tuple(sorted(changes, key=lambda change: (change.au not in seen, -change.delta)))


def moved_aus(displacement: np.ndarray) -> dict[tuple[str, str], float]:
    """AUs that the movement of the regions speaks for: (AU, side "L", "R" or "") -> IED."""
    out: dict[tuple[str, str], float] = {}
    by = {region: (float(x), -float(y)) for region, (x, y) in zip(REGIONS, displacement, strict=True)}
    sizes = {name: math.hypot(*move) for name, move in by.items() if not name.startswith("lid_")}
    floor_upper = max(MIN_MOVE_IED, SHARE_OF_STRONGEST * max(v for k, v in sizes.items() if k.startswith("brow")))
    floor = max(MIN_MOVE_IED, SHARE_OF_STRONGEST * max(v for k, v in sizes.items() if not k.startswith("brow")))
    for side, outward in (("L", 1.0), ("R", -1.0)):  # the person's left is at the right of the picture

        def out_up(name: str, side: str = side, outward: float = outward) -> tuple[float, float]:
            x, up = by[f"{name}_{side}"]
            return x * outward, up

        inner, outer = out_up("brow_inner"), out_up("brow_outer")
        if max(inner[1], outer[1]) > floor_upper:
            if inner[1] >= 0.5 * outer[1]:
                out["AU01", side] = inner[1]
            if outer[1] >= 0.5 * inner[1]:
                out["AU02", side] = outer[1]
        down = math.hypot(max(-inner[1], 0.0), max(-inner[0], 0.0))
        if down > floor_upper and inner[1] < 0.3 * down:
            out["AU04", side] = down
        corner = out_up("mouth_corner")
        size = math.hypot(*corner)
        if size > floor:
            if corner[1] > 0.35 * size and corner[0] > -0.5 * size:
                out["AU12", side] = size
            elif corner[1] < -0.5 * size:
                out["AU15", side] = size
            elif corner[0] > 0.6 * size:
                out["AU14", side] = size
            elif corner[0] < -0.8 * size:
                out["AU18", ""] = max(size, out.get(("AU18", ""), 0.0))
        wing, cheek = out_up("nose_wing"), out_up("cheek")
        if wing[1] > floor:
            out["AU09", side] = wing[1]
        if cheek[1] > floor and cheek[1] > corner[1] and cheek[1] > wing[1]:
            out["AU06", side] = cheek[1]
    upper, lower, chin = by["lip_upper"][1], by["lip_lower"][1], by["chin"][1]
    corners = (by["mouth_corner_L"][1] + by["mouth_corner_R"][1]) / 2
    if upper > floor and upper > 1.2 * max(corners, lower):
        for side in ("L", "R"):
            wing_up = max(out.pop(("AU09", side), 0.0), 0.0)
            if wing_up > upper:
                out["AU09", side] = wing_up
            else:
                out["AU10", side] = upper
    if lower > floor and lower > 1.2 * corners and chin > 0.3 * lower:
        out["AU17", ""] = lower
    if -lower > floor and -lower > 1.2 * -corners:
        out["AU25", ""] = -lower
        if -chin > 0.6 * -lower:
            out["AU26", ""] = -chin
        elif -upper < 0.5 * -lower:
            out["AU16", ""] = -lower
    return out
