"""`streamfer dataset check` of a data set of single faces: what it holds beside what was published, and what was mended.

Published counts: RAF-DB's own list (12,271 and 3,068), AffectNet's manually annotated part, FER+ after its script has dropped what
is no face; DISFA, BP4D and FEAFA+ as their papers and pages count people and frames. None: not published, or not found.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from streamfer.datasets.check import Count
from streamfer.datasets.records import Remark
from streamfer.datasets.stills import THRESHOLD, StillSet
from streamfer.records import LABELS


@dataclass(frozen=True, slots=True)
class Facts:
    """Of a data set as published. `parts` and `labels` are those of its splits and, in RAF-DB, of both splits together."""

    title: str
    needs: str
    stills: int | None = None
    subjects: int | None = None
    parts: dict[str, int] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)


FACTS: dict[str, Facts] = {
    "disfa": Facts("DISFA", "ActionUnit_Labels/SN001/SN001_au1.txt, Videos_LeftCamera or folders of frames", subjects=27),
    "bp4d": Facts("BP4D-Spontaneous", "AUCoding/AU_OCC/F001_T1.csv (and AU_INT), F001/T1/2440.jpg", subjects=41),
    "feafa": Facts("FEAFA+ part A", "PV001.output/00000001.auw and the frames", stills=99_356),
    "rafdb": Facts(
        "RAF-DB (basic)", "EmoLabel/list_patition_label.txt, Image/aligned, or train/1 ... test/7", stills=15_339,
        parts={"train": 12_271, "test": 3_068},
        labels={"surprise": 1619, "fear": 355, "disgust": 877, "happiness": 5957, "sadness": 2460, "anger": 867, "neutral": 3204},
    ),
    "affectnet7": Facts("AffectNet, 7 classes", "training.csv and images, train_set/annotations, or train/0 ... val/7",
                        parts={"train": 283_901, "valid": 3_500}),
    "affectnet8": Facts("AffectNet, 8 classes", "the same", parts={"train": 287_651, "valid": 4_000}),
    "ferplus": Facts("FER+", "fer2013new.csv with fer2013.csv or its pictures; an npz",
                     parts={"train": 28_558, "valid": 3_579, "test": 3_573}),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class StillCheck:
    found: StillSet
    facts: Facts
    counts: tuple[Count, ...]
    labels: tuple[Count, ...]
    aus: tuple[tuple[str, int, int], ...]  # column, stills where it was coded, stills where it counts as present
    rules: tuple[tuple[str, str, int], ...]  # action, rule, rows

    def remarks_of(self, rule: str) -> tuple[Remark, ...]:
        return tuple(r for r in self.found.remarks if r.rule == rule)

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return {
            "dataset": self.found.name, "title": self.facts.title, "root": str(self.found.root),
            "counts": {c.what: {"here": c.here, "published": c.published} for c in self.counts},
            "labels": {c.what: {"here": c.here, "published": c.published} for c in self.labels},
            "aus": {au: {"coded": coded, "present": present} for au, coded, present in self.aus},
            "rules": [{"action": a, "rule": r, "rows": n} for a, r, n in self.rules],
            "remarks": [
                {"action": r.action, "rule": r.rule, "table": r.table, "row": r.row, "message": r.message}
                for r in self.found.remarks
            ],
        }  # fmt: skip


def check(found: StillSet) -> StillCheck:
    facts = FACTS[found.name]
    stills = found.stills
    people = {s.subject for s in stills if s.subject}
    splits = Counter(s.split for s in stills if s.split)
    counts = [Count("pictures", len(stills), facts.stills)]
    if people or facts.subjects:
        counts.append(Count("subjects", len(people), facts.subjects))
    counts += [
        Count(part, splits[part], facts.parts.get(part))
        for part in ("train", "valid", "test")
        if splits[part] or part in facts.parts
    ]
    labels = Counter(s.label for s in stills if s.label)
    if labels and (none := sum(s.label is None for s in stills)):
        counts.append(Count("without a label", none))
    rules = Counter((r.action, r.rule) for r in found.remarks)
    order = ("dropped", "repaired", "noted")
    return StillCheck(
        found, facts, tuple(counts),
        tuple(Count(label, labels[label], facts.labels.get(label)) for label in LABELS if labels[label] or label in facts.labels),
        _aus(found),
        tuple((a, r, n) for (a, r), n in sorted(rules.items(), key=lambda item: (order.index(item[0][0]), item[0][1]))),
    )  # fmt: skip


def _aus(found: StillSet) -> tuple[tuple[str, int, int], ...]:
    coded: Counter[str] = Counter()
    there: Counter[str] = Counter()
    for still in found.stills:
        aus, present = still.aus or {}, still.present or {}
        for name in {*aus, *present}:
            coded[name] += 1
            there[name] += present[name] if name in present else aus[name] >= THRESHOLD[found.name]
    return tuple((name, coded[name], there[name]) for name in sorted(coded))


def lines(check: StillCheck, rows: bool) -> list[str]:
    """What the command prints."""
    text = [f"{check.facts.title} at {check.found.root}", *(_line(c) for c in check.counts)]
    text += [f"  {_line(c)}" for c in check.labels]
    if check.aus:
        text.append(
            f"action units: frames coded, of them present ({THRESHOLD[check.found.name]:g} and more, or coded as there)"
        )
        text += [f"  {name:7} {coded:7} {there:7}" for name, coded, there in check.aus]
    if not check.rules:
        text.append("nothing had to be mended")
    for action, rule, number in check.rules:
        text.append(f"{action} {number:4} x {rule}")
        if rows:
            text += [
                f"       {r.table}, {f'row {r.row}' if r.row is not None else '-'}: {r.message}"
                for r in check.remarks_of(rule)
            ]
    if check.rules and not rows:
        text.append("(--rows says which)")
    return text


def _line(count: Count) -> str:
    if count.published is None:
        return f"{count.what}: {count.here}"
    return f"{count.what}: {count.here}" + (f" (published: {count.published})" if count.differs else ", as published")
