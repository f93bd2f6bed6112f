"""Recognition on the composite of three data sets (CDE, MEGC 2019): UF1 and UAR, leaving one subject out.

Classes: 0 negative, 1 positive, 2 surprise. Predictions of all folds are pooled and scored once, over everything (Full)
and over each data set's part; the F1 of a fold is never averaged. `confusion.py` has the formulas.

The clips (`composite`): of SMIC (HS) all; of SAMM happiness as positive, surprise, and anger, contempt, disgust, fear
and sadness as negative; of CASME II happiness, surprise, and disgust and repression only as negative. That is 164 + 133
+ 145 = 442 clips of 16 + 28 + 24 = 68 people. Three of CASME II's clips are left out by name (`EXCLUDED`). Tables of
CASME II differ from copy to copy: the challenge's list file decides (`read_list`); `differences` says how a list and
a data set disagree.

The challenge's log: a line with the data set and the subject, then one line a clip, with the true and the given class:

    casme2 sub01
    EP02_01f 1 1
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from streamfer.datasets import emotions
from streamfer.errors import SourceMissing, UsageError
from streamfer.evaluation import bootstrap
from streamfer.evaluation.confusion import confusion, uar, uf1
from streamfer.evaluation.folds import person

if TYPE_CHECKING:
    from streamfer.datasets.records import Dataset

CLASSES = ("negative", "positive", "surprise")
PARTS = ("smic", "casme2", "samm")
EXPECTED = {"smic": (70, 51, 43), "casme2": (88, 32, 25), "samm": (92, 26, 15)}
"""Clips of each class in each part, as the challenge lists them."""
EXCLUDED = frozenset([("24", "ep02_07"), ("4", "ep12_01f"), ("5", "ep12_03f")])
"""CASME II: subject and clip (tvaranka/meb)."""
_NO_ANSWER = "-"
_SMIC = re.compile(r"s0*(\d+)_(ne|po|sur)_0*(\d+)")


@dataclass(frozen=True, slots=True)
class Sample:
    """One clip with its class, 0 to 2."""

    dataset: str
    subject: str
    clip: str
    label: int


@dataclass(frozen=True, slots=True)
class Answer:
    """A clip with the class it was given; None: no answer."""

    sample: Sample
    given: int | None


@dataclass(frozen=True, slots=True)
class Recognition:
    """Confusion matrices (S, 3, 4) of the people, and which part each is of."""

    people: tuple[str, ...]
    parts: tuple[str, ...]
    matrices: np.ndarray

    def of(self, part: str | None = None) -> np.ndarray:
        """(3, 4) true by given class, the last column without an answer; of one part or of all."""
        return self._of(part).sum(axis=0)

    def scores(self, part: str | None = None) -> dict[str, float]:
        return {"uf1": float(uf1(self.of(part))), "uar": float(uar(self.of(part)))}

    def interval(self, measure: str, part: str | None = None) -> tuple[float, float]:
        """95 % interval, people drawn again."""
        return bootstrap.interval(self._of(part), {"uf1": uf1, "uar": uar}[measure])

    def subjects(self, part: str | None = None) -> int:
        return len(self._of(part))

    def _of(self, part: str | None) -> np.ndarray:
        return self.matrices[[part is None or own == part for own in self.parts]]


def evaluate(answers: Iterable[Answer]) -> Recognition:
    """Pool the answers of all folds."""
    people: dict[tuple[str, str], list[Answer]] = {}
    for answer in answers:
        sample = answer.sample
        people.setdefault((sample.dataset, person(sample.dataset, sample.subject)), []).append(answer)
    matrices = [confusion([a.sample.label for a in own], [a.given for a in own], range(3)) for own in people.values()]
    return Recognition(
        tuple(who for _, who in people), tuple(part for part, _ in people), np.array(matrices).reshape(-1, 3, 4)
    )


def composite(datasets: Iterable[Dataset]) -> list[Sample]:
    """The clips of the composite, from data sets as loaded: one sample a clip, by the rules above."""
    samples = []
    for dataset in datasets:
        part = part_of(dataset.name)
        for clip in dataset.clips:
            note = next(
                (a for a in clip.annotations if a.kind == "micro" and class_of(part, a.emotion) is not None), None
            )
            if note is None or (part == "casme2" and (_number(clip.subject), _bare(clip.name)) in EXCLUDED):
                continue
            label = class_of(part, note.emotion)
            assert label is not None
            samples.append(Sample(part, clip.subject, clip.name, label))
    return samples


def class_of(part: str, emotion: str) -> int | None:
    """0, 1, 2 or None when the composite drops that emotion of that part."""
    label = emotions.scheme(emotion, 3, part)
    return None if label is None else CLASSES.index(label)


def clip_key(sample: Sample) -> tuple[str, str, str]:
    """One key for one clip, however its list or folder writes it: ("casme2", "sub01", "EP02_01f") and
    ("casme2", "1", "sub01_EP02_01f") are the same."""
    clip = _bare(sample.clip) if sample.dataset == "casme2" else sample.clip.casefold()
    found = _SMIC.fullmatch(clip)
    if found:
        clip = f"s{int(found[1]):02d}_{found[2]}_{int(found[3]):02d}"
    return sample.dataset, person(sample.dataset, sample.subject), clip


def part_of(name: str) -> str:
    """Which part of the composite a data set is. Raises UsageError for another one."""
    plain = name.casefold().replace("_", "").replace("-", "").replace(" ", "")
    part = {"casmeii": "casme2", "smichs": "smic"}.get(plain, plain)
    if part not in PARTS:
        raise UsageError(f"{name} is not part of the MEGC 2019 composite: that is SMIC (HS), CASME II and SAMM")
    return part


def read_list(path: Path) -> list[Sample]:
    """The challenge's list, lines such as `casme2,sub01,EP02_01f,1`."""
    samples = []
    for number, row in enumerate(csv.reader(_text(path).splitlines()), 1):
        if not row:
            continue
        if len(row) != 4 or row[3].strip() not in ("0", "1", "2"):
            raise UsageError(f"{path}, line {number}: '{','.join(row)}' is not dataset,subject,clip,class (0, 1 or 2)")
        samples.append(Sample(part_of(row[0]), row[1].strip(), row[2].strip(), int(row[3])))
    return samples


def differences(samples: Sequence[Sample]) -> list[str]:
    """Where the clips differ in number from the challenge's 442: one sentence for each part and class."""
    found = []
    for part in dict.fromkeys(s.dataset for s in samples):
        for label, expected in enumerate(EXPECTED[part]):
            here = sum(s.dataset == part and s.label == label for s in samples)
            if here != expected:
                found.append(f"{part} has {here} {CLASSES[label]} clips, the challenge {expected}")
    return found


def write_log(path: Path, answers: Iterable[Answer]) -> None:
    """The challenge's log. Subjects in the order of their first clip."""
    groups: dict[tuple[str, str], list[Answer]] = {}
    for answer in answers:
        groups.setdefault((answer.sample.dataset, answer.sample.subject), []).append(answer)
    lines = []
    for (dataset, subject), own in groups.items():
        lines.append(f"{dataset} {subject}")
        lines += [f"{a.sample.clip} {a.sample.label} {_NO_ANSWER if a.given is None else a.given}" for a in own]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_log(path: Path) -> list[Answer]:
    """Read a log. Raises UsageError naming the line that is none."""
    answers: list[Answer] = []
    part = subject = ""
    for number, line in enumerate(_text(path).splitlines(), 1):
        words = line.split()
        if len(words) == 2:
            part, subject = part_of(words[0]), words[1]
        elif len(words) == 3 and part and words[1] in "012" and words[2] in ("0", "1", "2", _NO_ANSWER):
            given = None if words[2] == _NO_ANSWER else int(words[2])
            answers.append(Answer(Sample(part, subject, words[0], int(words[1])), given))
        elif words:
            raise UsageError(
                f"{path}, line {number}: '{line}' is neither a data set and a subject (casme2 sub01) nor a clip with its "
                "true and given class (EP02_01f 1 1)"
            )
    return answers


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SourceMissing(f"{path}: cannot be read ({error.strerror})") from None


def _number(subject: str) -> str:
    return person("", subject).lstrip("/")


def _bare(clip: str) -> str:
    """ "sub24_EP02_07" or "sub24/EP02_07" -> "ep02_07": a clip's name may carry its subject's."""
    lower = clip.casefold()
    return lower[lower.rfind("ep") :] if "ep" in lower else lower
