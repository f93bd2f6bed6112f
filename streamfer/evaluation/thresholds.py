"""From which score on an event counts, and who may know: a fixed threshold, or one chosen without the test subject.

`fixed` keeps the events at or above a number that the user gives (0: all that the screener reported, the default).
`choose` leaves one subject out: the subject's threshold is the one, of 0.00, 0.01 ... 1.00, that maximises F1 over
**all other** subjects (the lowest of equals), for micro and macro apart. The grid does not depend on the data and a
subject's own clips never enter its own choice, so nothing leaks. `sentence` says which it was and belongs in every
result.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from streamfer.evaluation.bootstrap import ratio
from streamfer.evaluation.outputs import Compared, Found
from streamfer.evaluation.spotting import KINDS, IoUMode, Spot, match
from streamfer.records import Kind

GRID = np.round(np.linspace(0, 1, 101), 2)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The least score of each person and kind, and how it came about."""

    by_person: dict[str, dict[Kind, float]]
    sentence: str

    def apply(self, compared: Compared) -> Compared:
        return replace(compared, clips=tuple(clip.keeping(self.by_person[clip.person]) for clip in compared.clips))


def fixed(compared: Compared, minimum: float = 0.0) -> Thresholds:
    """The same least score for everybody."""
    all_of_them: dict[Kind, float] = dict.fromkeys(KINDS, minimum)
    what = "every event counts" if minimum == 0 else f"events with a score of {minimum:g} or more count"
    return Thresholds(
        dict.fromkeys((clip.person for clip in compared.clips), all_of_them),
        f"fixed threshold, {what}; nothing was chosen on these clips by this command",
    )


def choose(compared: Compared, iou: float = 0.5, mode: IoUMode = "inclusive") -> Thresholds:
    """Leave one subject out. Raises ValueError for fewer than two subjects."""
    tables: dict[str, np.ndarray] = {}
    for clip in compared.clips:
        tables[clip.person] = tables.get(clip.person, 0) + _counts(clip, iou, mode)
    if len(tables) < 2:
        raise ValueError("choosing a threshold leaves one subject out, so it needs two subjects or more")
    total = np.sum(list(tables.values()), axis=0)
    by_person = {name: _best(total - own) for name, own in tables.items()}
    ranges = "; ".join(f"{kind} {_range(chosen[kind] for chosen in by_person.values())}" for kind in KINDS)
    return Thresholds(
        by_person,
        f"score threshold by leave-one-subject-out: each subject's is the one with the highest F1 on the other "
        f"{len(tables) - 1} subjects, micro and macro apart ({ranges})",
    )


def _counts(clip: Found, iou: float, mode: IoUMode) -> np.ndarray:
    """(kinds, grid, 3): hits, predictions and truths of one clip at each threshold."""
    table = np.zeros((len(KINDS), len(GRID), 3))
    for k, kind in enumerate(KINDS):
        truths = [t for t in clip.truths if t.kind == kind]
        found = [p for p in clip.predictions if p.kind == kind]
        known: dict[int, int] = {}  # hits by number of events kept: most thresholds keep the same ones
        for g, threshold in enumerate(GRID):
            kept = [p for p in found if p.score >= threshold]
            if len(kept) not in known:
                known[len(kept)] = _hits(truths, kept, iou, mode)
            table[k, g] = known[len(kept)], len(kept), len(truths)
    return table


def _hits(truths: list[Spot], found: list[Spot], iou: float, mode: IoUMode) -> int:
    return len(match(truths, found, iou, mode)) if truths and found else 0


def _best(others: np.ndarray) -> dict[Kind, float]:
    """The lowest threshold of the highest F1; where F1 says nothing (nobody has that kind) all events are kept."""
    f1 = np.nan_to_num(ratio(2 * others[..., 0], others[..., 1] + others[..., 2]))
    return {kind: float(GRID[int(np.argmax(f1[k]))]) for k, kind in enumerate(KINDS)}


def _range(values: Iterable[float]) -> str:
    chosen = sorted(values)
    return f"{chosen[0]:.2f}" if chosen[0] == chosen[-1] else f"{chosen[0]:.2f} to {chosen[-1]:.2f}"
