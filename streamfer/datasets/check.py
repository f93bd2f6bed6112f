"""`streamfer dataset check`: what a data set holds, beside what was published, and everything that was mended."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from streamfer.datasets import emotions
from streamfer.datasets.published import PUBLISHED, Published
from streamfer.datasets.records import Dataset, Remark


@dataclass(frozen=True, slots=True)
class Count:
    """One number beside the published one (None: not published)."""

    what: str
    here: int
    published: int | None = None

    @property
    def differs(self) -> bool:
        return self.published is not None and self.here != self.published


@dataclass(frozen=True, slots=True)
class Check:
    dataset: Dataset
    published: Published
    counts: tuple[Count, ...]
    emotions: tuple[Count, ...]
    fps: tuple[tuple[float, int], ...]  # frame rate, clips
    rules: tuple[tuple[str, str, int], ...]  # action, rule, rows
    aus: tuple[int, int, int]  # annotations with AUs read, unknown, with something unread

    def remarks_of(self, rule: str) -> tuple[Remark, ...]:
        return tuple(r for r in self.dataset.remarks if r.rule == rule)

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return {
            "dataset": self.dataset.name, "title": self.published.title, "root": str(self.dataset.root),
            "counts": {c.what: {"here": c.here, "published": c.published} for c in self.counts},
            "emotions": {c.what: {"here": c.here, "published": c.published} for c in self.emotions},
            "fps": {str(rate): clips for rate, clips in self.fps},
            "rules": [{"action": a, "rule": r, "rows": n} for a, r, n in self.rules],
            "aus": dict(zip(("read", "unknown", "partly_unread"), self.aus, strict=True)),
            "remarks": [
                {"action": r.action, "rule": r.rule, "table": r.table, "row": r.row, "message": r.message}
                for r in self.dataset.remarks
            ],
        }  # fmt: skip


def check(dataset: Dataset) -> Check:
    published = PUBLISHED[dataset.name]
    notes = dataset.annotations
    counts = (
        Count("clips", len(dataset.clips), published.clips),
        Count("subjects", len({clip.subject for clip in dataset.clips}), published.subjects),
        Count("micro", sum(n.kind == "micro" for n in notes), published.micro),
        Count("macro", sum(n.kind == "macro" for n in notes), published.macro),
        Count("without apex", sum(n.apex is None for n in notes)),
    )
    words = Counter(emotions.plain(n.emotion) for n in notes if n.emotion)
    named = sorted({*words, *published.emotions}, key=lambda word: (-words[word], word))
    rules = Counter((r.action, r.rule) for r in dataset.remarks)
    order = ("dropped", "repaired", "noted")
    coded = [n.aus for n in notes if n.aus is not None]
    return Check(
        dataset, published, counts,
        tuple(Count(word, words[word], published.emotions.get(word, 0 if published.emotions else None)) for word in named),
        tuple(sorted(Counter(clip.fps for clip in dataset.clips).items())),
        tuple((a, r, n) for (a, r), n in sorted(rules.items(), key=lambda item: (order.index(item[0][0]), item[0][1]))),
        (sum(not a.unknown for a in coded), sum(a.unknown for a in coded), sum(bool(a.warnings) for a in coded)),
    )  # fmt: skip
