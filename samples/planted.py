"""What is planted into a clip, and its truth as JSON: see README.md for the schema.

`plan()` draws events, blinks and speech from a seed; `truth()` writes down what a rendered clip contains. Both
work on the clip's own frame times, so that onset, apex and offset are frames that exist:
onset is the last frame at rest, apex the (first) frame of largest displacement, offset the first frame at rest again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from samples.motion import Blink, Speech, rise_and_fall
from samples.muscles import SIDED

SCHEMA = 1

# what is planted by default: single AUs and usual pairs, with how often
MIX: tuple[tuple[tuple[str, ...], float], ...] = (
    (("AU04",), 0.16),
    (("AU12",), 0.14),
    (("AU01", "AU02"), 0.12),
    (("AU01",), 0.04),
    (("AU02",), 0.05),
    (("AU07",), 0.04),
    (("AU05",), 0.02),
    (("AU04", "AU07"), 0.05),
    (("AU06", "AU12"), 0.07),
    (("AU09",), 0.04),
    (("AU10",), 0.06),
    (("AU14",), 0.05),
    (("AU15",), 0.05),
    (("AU17",), 0.04),
    (("AU20",), 0.03),
    (("AU24",), 0.02),
    (("AU25",), 0.02),
)
ONE_SIDED = {"AU02": 0.15, "AU04": 0.05, "AU10": 0.15, "AU12": 0.2, "AU14": 0.4, "AU15": 0.1, "AU20": 0.1}
MICRO_MAX_S = 0.5


@dataclass(frozen=True)
class Part:
    au: str  # "AU12"
    side: str  # the person's own: "left", "right", "both"
    amplitude_ied: float  # largest displacement of the skin, in distances between the inner eye corners


@dataclass(frozen=True)
class Planted:
    """One movement. Indices are frames of the clip; the curve runs over their times."""

    kind: str  # "micro", "macro"
    parts: tuple[Part, ...]
    onset: int
    apex: int
    offset: int
    hold: int = 0  # frames at full strength, from the apex on

    def strength(self, t: float, times: np.ndarray) -> float:
        hold_s = times[self.apex + self.hold] - times[self.apex]
        return float(rise_and_fall(t, times[self.onset], times[self.apex], hold_s, times[self.offset]))


@dataclass(frozen=True)
class Plan:
    """All that one face does."""

    events: tuple[Planted, ...] = ()
    blinks: tuple[Blink, ...] = ()
    speech: tuple[Speech, ...] = ()
    head: str = "off"  # off, calm, talking
    absent: tuple[tuple[float, float], ...] = ()  # the face is out of the picture
    seed: int = 0

    def skin_at(self, t: float, times: np.ndarray) -> dict[tuple[str, str], float]:
        """(au, side) -> displacement in IED at time t."""
        now: dict[tuple[str, str], float] = {}
        for event in self.events:
            if times[event.onset] < t < times[event.offset]:
                for part in event.parts:
                    key = (part.au, part.side)
                    now[key] = now.get(key, 0.0) + part.amplitude_ied * event.strength(t, times)
        for speech in self.speech:
            for au, value in speech.at(t).items():
                now[au, "both"] = now.get((au, "both"), 0.0) + value
        return now


@dataclass(frozen=True)
class Wish:
    """What to draw. Amplitudes may be one number or several to choose from."""

    amplitudes: tuple[float, ...] = (0.06,)
    micro: int = 6
    macro: int = 2
    blinks: bool = True
    head: str = "calm"
    speech: tuple[tuple[float, float], ...] = ()
    absent: tuple[tuple[float, float], ...] = ()
    gap_s: float = 1.0  # rest between events
    mix: tuple[tuple[tuple[str, ...], float], ...] = field(default=MIX)


def plan(times: Sequence[float] | np.ndarray, wish: Wish, seed: int) -> Plan:
    """Draw a plan for a clip with these frame times. Raises ValueError when the events do not fit.

    Blinks keep 0.15 s away from planted events: where both happen at once there is no agreed truth.
    """
    t = np.asarray(times, dtype=np.float64)
    rng = np.random.default_rng([seed, 303])
    kinds = ["micro"] * wish.micro + ["macro"] * wish.macro
    rng.shuffle(kinds)
    drafts = [_draft(kind, wish, rng) for kind in kinds]
    events = _place(drafts, t, wish, rng)
    blinks = _blinks(float(t[-1]), events, t, rng) if wish.blinks else ()
    speech = tuple(Speech(a, b, seed) for a, b in wish.speech)
    return Plan(events, blinks, speech, wish.head, wish.absent, seed)


def _draft(kind: str, wish: Wish, rng: np.random.Generator) -> tuple[str, tuple[Part, ...], float, float, float]:
    names = [aus for aus, _ in wish.mix]
    weights = np.array([w for _, w in wish.mix])
    aus = names[rng.choice(len(names), p=weights / weights.sum())]
    amplitude = float(rng.choice(wish.amplitudes))
    chance = ONE_SIDED.get(aus[0], 0.0) if len(aus) == 1 else 0.0
    side = str(rng.choice(["left", "right"])) if rng.random() < chance else "both"
    parts = tuple(
        Part(au, side if au in SIDED else "both", round(amplitude * (1.0 if i == 0 else 0.7), 4))
        for i, au in enumerate(aus)
    )
    if kind == "micro":
        rise, hold = rng.uniform(0.10, 0.26), rng.choice([0.0, 0.0, 0.04])
        fall = rng.uniform(0.12, min(0.28, 0.47 - rise - hold))
    else:
        rise, hold, fall = rng.uniform(0.3, 1.0), rng.uniform(0.0, 1.2), rng.uniform(0.5, 1.5)
    return kind, parts, float(rise), float(hold), float(fall)


def _place(drafts: list[Any], t: np.ndarray, wish: Wish, rng: np.random.Generator) -> tuple[Planted, ...]:
    lengths = [rise + hold + fall for *_, rise, hold, fall in drafts]
    lead = 1.0  # a second of rest at both ends, for the baseline
    slack = t[-1] - 2 * lead - sum(lengths) - wish.gap_s * max(0, len(drafts) - 1)
    if drafts and slack < 0:
        raise ValueError(f"{len(drafts)} events do not fit into {t[-1]:.1f} s: plant fewer or make the clip longer")
    waits = np.diff(np.concatenate([[0.0], np.sort(rng.uniform(0, max(slack, 0), len(drafts))), [slack]]))[: len(drafts)]
    placed, now = [], lead
    for (kind, parts, rise, hold, fall), wait in zip(drafts, waits, strict=True):
        now += wait
        if not any(a < now + rise + hold + fall + 0.5 and now - 0.5 < b for a, b in wish.absent):
            placed.append(on_frames(kind, parts, t, now, rise, hold, fall))
        now += rise + hold + fall + wish.gap_s
    return tuple(placed)


def on_frames(
    kind: str, parts: tuple[Part, ...], t: np.ndarray, start: float, rise: float, hold: float, fall: float
) -> Planted:
    """An event moved onto the frame grid: at least two frames up and two down, a micro one no longer than 0.5 s."""
    onset = int(np.argmin(np.abs(t - start)))
    apex = max(onset + 2, int(np.argmin(np.abs(t - t[onset] - rise))))
    held = int(np.argmin(np.abs(t - t[min(apex, len(t) - 1)] - hold))) - apex
    offset = max(apex + held + 2, int(np.argmin(np.abs(t - t[onset] - rise - hold - fall))))
    if offset >= len(t):
        raise ValueError(f"an event at {start:.2f} s does not end before the clip does")
    while kind == "micro" and t[offset] - t[onset] > MICRO_MAX_S and offset - apex - held > 2:
        offset -= 1
    return Planted(kind, parts, onset, apex, offset, held)


def _blinks(end: float, events: Sequence[Planted], t: np.ndarray, rng: np.random.Generator) -> tuple[Blink, ...]:
    busy = [(t[e.onset] - 0.15, t[e.offset] + 0.15) for e in events]
    blinks, now = [], rng.uniform(0.3, 2.5)
    while now < end - 0.6:
        length = rng.uniform(0.25, 0.5)
        if not any(a < now + length and now < b for a, b in busy):
            blinks.append(Blink(round(now, 4), round(now + length, 4)))
            now += rng.uniform(1.5, 4.5)
        else:
            now += 0.2
    return tuple(blinks)


def scaled(plan_: Plan, factor: float) -> Plan:
    """The same movements, larger or smaller."""
    events = tuple(
        replace(e, parts=tuple(replace(p, amplitude_ied=round(p.amplitude_ied * factor, 4)) for p in e.parts))
        for e in plan_.events
    )
    return replace(plan_, events=events)


def truth(
    plans: Sequence[tuple[str, Plan]],
    times: Sequence[float] | np.ndarray,
    boxes: Sequence[np.ndarray],
    ied_px: Sequence[float],
    about: dict[str, Any],
) -> dict[str, Any]:
    """The JSON beside a clip. `boxes`: for each person (T, 4) left, top, width, height in pixels, NaN when absent."""

    def moment(index: int) -> dict[str, Any]:
        return {"frame": index, "time_s": round(float(times[index]), 6)}

    events = []
    persons = []
    blinks = []
    speech = []
    for (name, one), box, size in zip(plans, boxes, ied_px, strict=True):
        first = next((b for b in box if np.isfinite(b).all()), np.full(4, np.nan))
        persons.append(
            {
                "person": name,
                "box": _ints(first),
                "ied_px": round(float(size), 1),
                "head": one.head,
                "absent_s": [list(span) for span in one.absent],
            }
        )
        for e in one.events:
            events.append(
                {
                    "kind": e.kind,
                    "person": name,
                    "box": _ints(box[e.apex]),
                    "aus": [{"au": p.au, "side": p.side, "amplitude_ied": p.amplitude_ied} for p in e.parts],
                    "onset": moment(e.onset),
                    "apex": moment(e.apex),
                    "offset": moment(e.offset),
                    "rise_s": round(float(times[e.apex] - times[e.onset]), 6),
                    "duration_s": round(float(times[e.offset] - times[e.onset]), 6),
                }
            )
        blinks += [{"person": name, "start_s": b.start_s, "end_s": b.end_s} for b in one.blinks]
        speech += [{"person": name, "start_s": s.start_s, "end_s": s.end_s} for s in one.speech]
    return {
        "schema": SCHEMA,
        **about,
        "frames": len(times),
        "duration_s": round(float(times[-1]), 6),
        "persons": persons,
        "events": sorted(events, key=lambda e: e["onset"]["frame"]),
        "nuisances": {"blinks": blinks, "speech": speech, **about.get("nuisances", {})},
    }


def _ints(box: np.ndarray) -> list[int] | None:
    return [round(float(v)) for v in box] if np.isfinite(box).all() else None
