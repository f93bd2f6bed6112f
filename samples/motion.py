"""How movements run over time: expressions, blinks, speech, the head. Pure functions of time, fixed by a seed.

Durations come from published annotation tables: onset to apex of micro-expressions 0.10-0.26 s, whole at most
0.5 s (CASME II, SAMM, DFME); macro-expressions 0.8-4 s; blinks 0.25-0.5 s (CAS(ME)^3 marks 0.53 s on average,
lid creep included). Head motion and speech are sums of random parts with the sizes of people in conversation.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

HEAD = {  # root-mean-square sizes: shift in IED, angles in degrees, scale as a fraction
    "off": {"shift": 0.0, "roll": 0.0, "yaw": 0.0, "pitch": 0.0, "scale": 0.0, "fastest_hz": 1.0},
    "calm": {"shift": 0.05, "roll": 0.5, "yaw": 1.3, "pitch": 1.0, "scale": 0.004, "fastest_hz": 0.8},
    "talking": {"shift": 0.12, "roll": 1.4, "yaw": 3.2, "pitch": 2.4, "scale": 0.010, "fastest_hz": 1.6},
}


def rise_and_fall(t: np.ndarray | float, onset: float, apex: float, hold: float, offset: float) -> np.ndarray:
    """0 before `onset`, raised cosine to 1 at `apex`, 1 for `hold` seconds, raised cosine back to 0 at `offset`."""
    t = np.asarray(t, dtype=np.float64)
    up = np.clip((t - onset) / max(apex - onset, 1e-9), 0, 1)
    down = np.clip((t - apex - hold) / max(offset - apex - hold, 1e-9), 0, 1)
    return 0.25 * (1 - np.cos(np.pi * up)) * (1 + np.cos(np.pi * down))


@dataclass(frozen=True)
class Blink:
    """One blink: closing is about twice as fast as opening."""

    start_s: float
    end_s: float

    def closed(self, t: float) -> float:
        """0 open ... 1 shut."""
        length = self.end_s - self.start_s
        shut = self.start_s + 0.32 * length
        return float(rise_and_fall(t, self.start_s, shut, 0.08 * length, self.end_s))


@dataclass(frozen=True)
class HeadAt:
    shift: tuple[float, float]  # IED
    roll: float  # radians
    yaw: float
    pitch: float
    scale: float  # fraction, 0 = none


class Head:
    """Smooth random head motion around rest."""

    def __init__(self, level: str, seed: int) -> None:
        if level not in HEAD:
            raise ValueError(f"head motion {level!r}: choose from {', '.join(HEAD)}")
        size = HEAD[level]
        rng = np.random.default_rng([seed, 101])
        self.level = level
        self._size = np.array(
            [size["shift"], 0.6 * size["shift"], *np.radians([size["roll"], size["yaw"], size["pitch"]]), size["scale"]]
        )
        # amplitudes falling with frequency, as the drift and sway of a sitting person do
        self._hz = np.exp(rng.uniform(np.log(0.06), np.log(size["fastest_hz"]), (6, 8)))
        weight = self._hz**-0.8
        self._weight = weight / np.sqrt((weight**2).sum(axis=1, keepdims=True) / 2)
        self._phase = rng.uniform(0, 2 * np.pi, (6, 8))

    def at(self, t: float) -> HeadAt:
        value = (self._weight * np.sin(2 * np.pi * self._hz * t + self._phase)).sum(axis=1) * self._size
        return HeadAt((float(value[0]), float(value[1])), *(float(v) for v in value[2:]))


@dataclass(frozen=True)
class Speech:
    """Jaw and lips of somebody who talks from `start_s` to `end_s`: three to five syllables a second in phrases."""

    start_s: float
    end_s: float
    seed: int
    strength: float = 0.09  # opening of a middling syllable, IED
    pulses: tuple[tuple[str, float, float, float, float], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng([self.seed, 202, round(self.start_s * 1000)])
        pulses, t = [], self.start_s
        while t < self.end_s - 0.3:
            phrase_end = min(self.end_s, t + rng.uniform(1.2, 3.0))
            while t < phrase_end - 0.12:
                length = rng.uniform(0.16, 0.36)
                size = self.strength * rng.uniform(0.4, 1.7)
                pulses.append(("AU26", t, min(t + length, self.end_s), size, rng.uniform(0.35, 0.6)))
                lips = rng.choice(["AU20", "AU10", "AU24", "none"], p=[0.3, 0.25, 0.2, 0.25])
                if lips != "none":
                    sign = -1 if lips == "AU20" and rng.random() < 0.5 else 1  # rounding is stretching backwards
                    pulses.append((str(lips), t, min(t + length * 1.2, self.end_s), sign * size * 0.6, 0.5))
                t += length * rng.uniform(0.7, 1.1)
            t = phrase_end + rng.uniform(0.3, 0.9)
        object.__setattr__(self, "pulses", tuple(pulses))

    def at(self, t: float) -> dict[str, float]:
        """AU -> displacement in IED (may be negative: lips drawn together)."""
        now: dict[str, float] = {}
        for au, start, end, size, peak in self.pulses:
            if start < t < end:
                value = size * float(rise_and_fall(t, start, start + peak * (end - start), 0.0, end))
                now[au] = now.get(au, 0.0) + value
        return now
