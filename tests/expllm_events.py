"""Events written as one line, and random ones, for the tests of the explanations."""

from __future__ import annotations

from hypothesis import strategies as st

from streamfer.expllm.evidence import Evidence
from streamfer.expllm.phrases import PHRASES
from streamfer.records import AUChange, Event, Expressed, Moment, RegionMotion

FLOOR = 0.5
OCTANTS = ("right", "up-right", "up", "up-left", "left", "down-left", "down", "down-right")
REGIONS = [f"{name}_{side}" for name in ("brow_inner", "brow_outer", "lid_upper", "cheek", "mouth_corner", "nose_wing")
           for side in "LR"] + ["lip_upper", "lip_lower", "chin"]  # fmt: skip


def event(aus: str, kind: str = "micro", *, flags: tuple[str, ...] = (), motion: str = "", id: str = "e1") -> Event:
    """`aus`: "12 R14:1.0 4:1.0:3.0" = AU[:change[:intensity]], R or L for one side; `motion`: "chin:0.04:-90"."""
    changes = []
    for word in aus.split():
        code, *numbers = word.split(":")
        delta = float(numbers[0]) if numbers else 1.5
        side = {"L": "left", "R": "right"}.get(code[0], "both")
        intensity = float(numbers[1]) if len(numbers) > 1 else max(delta, 0.0)
        changes.append(AUChange(f"AU{int(code.lstrip('LR')):02d}", side, intensity, delta))  # type: ignore[arg-type]
    moved = []
    for word in motion.split():
        region, distance, degrees = word.split(":")
        octant = OCTANTS[round(float(degrees) / 45) % 8]
        moved.append(RegionMotion(region, float(distance), float(degrees), octant))
    duration = 0.36 if kind == "micro" else 2.1
    return Event(
        id, "clip", "P1", 1, kind, Moment(372, 12.4), Moment(376, 12.53), Moment(383, 12.4 + duration), 0.13, duration,
        tuple(changes), tuple(moved), 0.8, flags,
    )  # type: ignore[arg-type]  # fmt: skip


def evidence(aus: str, kind: str = "micro", **more) -> Evidence:
    return Evidence.of(event(aus, kind, **more), FLOOR)


_CHANGES = st.builds(
    lambda number, side, delta, before, source: AUChange(
        f"AU{number:02d}", side, min(max(delta, 0.0) + before, 5.0), delta, source
    ),
    st.sampled_from([*PHRASES, 31, 38, 51]), st.sampled_from(["both", "left", "right"]),
    st.floats(-2.0, 5.0), st.sampled_from([0.0, 0.0, 0.4, 1.7]), st.sampled_from(["model", "movement"]),
)  # fmt: skip
_PROBABILITIES = st.lists(st.floats(0.001, 1.0), min_size=8, max_size=8).map(
    lambda values: tuple(value / sum(values) for value in values)
)
EXPRESSED = st.builds(Expressed, _PROBABILITIES, _PROBABILITIES, st.just("a model"))
EVENTS = st.builds(
    lambda id, kind, aus, motion, flags, start_s, length_s, score, expressed: Event(
        f"e{id}", "clip", "P1", 1, kind, Moment(1, start_s), Moment(4, start_s + length_s / 3),
        Moment(9, start_s + length_s), length_s / 3, length_s, tuple(aus), tuple(motion), score, tuple(flags),
        expressed=expressed,
    ),
    st.integers(0, 10**9), st.sampled_from(["micro", "macro"]), st.lists(_CHANGES, max_size=9),
    st.lists(st.builds(RegionMotion, st.sampled_from(REGIONS), st.floats(0, 0.2), st.floats(-180, 180), st.just("up")),
             max_size=5),
    st.lists(st.sampled_from(["low_fps", "head_motion", "talking", "blink", "edge_of_gap", "new_kind"]), max_size=3,
             unique=True),
    st.floats(0, 20000), st.floats(0.04, 8.0), st.floats(0, 1), st.none() | EXPRESSED,
)  # fmt: skip
"""Any event the screener could hand over, likely or not."""

STILLS = st.builds(
    lambda id, aus, expressed: Evidence.still(f"s{id}", aus, FLOOR, expressed),
    st.integers(0, 10**9),
    st.dictionaries(
        st.sampled_from(["AU01_L", "AU01_R", "AU04", "AU06_L", "AU06_R", "AU09_L", "AU12_L", "AU12_R", "AU14_L", "AU17", "AU26"]),
        st.floats(0, 5), max_size=6,
    ),
    EXPRESSED,
)  # fmt: skip
"""Any single picture."""
