"""Data sets of single faces: photographs with an expression, and frames whose action units were coded one by one.

    found = load("disfa", "/data/DISFA")
    found.stills[0].aus            # {"AU12": 3.0, ...}, FACS 0-5
    for row, picture in still_pictures.pictures(found.stills): ...

One function for each data set, from its root folder to a tuple of `Still` and what had to be mended: still_aus.py (DISFA,
BP4D, FEAFA+), still_labels.py (RAF-DB, AffectNet), still_votes.py (FER+). Nothing is decoded here: a `Still` says where its
picture is. Unlike in the data sets of clips (records.py) there is no time: onset, apex and offset mean nothing for them.

Conventions that every loader keeps:

* An AU that was not coded is **absent** from `aus` and `present`, never 0: FEAFA has no counterpart of AU6, say.
* `aus` holds intensities on FACS's scale (A = 1 ... E = 5, 0 absent), `present` what was coded as there or not there.
* `fold` is the one of the usual three in which a subject is tested; None where no split is in common use.
* Whatever was mended or dropped is one `Remark`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from streamfer.datasets.records import Remark
from streamfer.errors import SourceMissing, UsageError
from streamfer.records import LABELS

LOADERS: dict[str, str] = {
    "disfa": "still_aus:disfa", "bp4d": "still_aus:bp4d", "feafa": "still_aus:feafa",
    "rafdb": "still_labels:rafdb", "affectnet7": "still_labels:affectnet", "affectnet8": "still_labels:affectnet",
    "ferplus": "still_votes:ferplus",
}  # fmt: skip
"""Name -> module:function."""
ALIASES = {
    "feafa+": "feafa", "feafa_plus": "feafa", "raf_db": "rafdb", "raf": "rafdb", "affectnet": "affectnet8",
    "affectnet_7": "affectnet7", "affectnet_8": "affectnet8", "fer+": "ferplus", "fer_plus": "ferplus", "bp4d_spontaneous": "bp4d",
}  # fmt: skip
CODED = ("disfa", "bp4d", "feafa")
"""Those with action units; the others have expressions."""
CLASSES: dict[str, tuple[str, ...]] = {
    "rafdb": LABELS[:-1], "affectnet7": LABELS[:-1], "affectnet8": LABELS, "ferplus": LABELS,
}  # fmt: skip
"""Expressions a data set knows: those without contempt are scored over seven."""
TESTED: dict[str, str] = {"rafdb": "test", "affectnet7": "valid", "affectnet8": "valid", "ferplus": "test"}
"""The part that papers report. AffectNet's test part was never given out: they report the validation part."""
THRESHOLD: dict[str, float] = {"disfa": 2.0, "bp4d": 1.0, "feafa": 2.0}
"""Intensity from which on an AU counts as present: DISFA B and more (as in the tables of JAA-Net, ME-GraphAU), BP4D any that
the coders marked, FEAFA+ as DISFA (it has no convention of its own)."""


@dataclass(frozen=True, slots=True)
class Still:
    """One face, and what people said of it."""

    path: Path  # a picture, a video, an npz or a csv with pixels
    subject: str = ""  # empty: the data set does not say who
    split: str = ""  # train, valid or test; empty: the data set has no such parts
    frame: int | None = None  # place from 0 in a video, row from 0 of an npz or csv; None: `path` is the picture
    label: str | None = None  # one of records.LABELS; None: no majority, or none was asked for
    votes: tuple[int, ...] | None = None  # of evaluation.expression.VOTED, in its order
    aus: Mapping[str, float] | None = None  # "AU12_L" or "AU12" -> 0-5
    present: Mapping[str, bool] | None = None  # the same names, where presence was coded
    box: tuple[int, int, int, int] | None = None  # x, y, width, height of the face in px of the picture
    fold: int | None = None  # 1-3


@dataclass(frozen=True, slots=True)
class StillSet:
    """A data set as found on disk."""

    name: str
    root: Path
    stills: tuple[Still, ...]
    remarks: tuple[Remark, ...] = ()

    def part(self, split: str | None = None, fold: int | None = None, step: int = 1) -> tuple[Still, ...]:
        """Stills of one part and fold, every `step`-th of them. Raises UsageError when there are none."""
        rows = [s for s in self.stills if split in (None, "all", s.split) and fold in (None, s.fold)]
        if not rows:
            splits = sorted({s.split or "none" for s in self.stills})
            folds = sorted({s.fold for s in self.stills if s.fold is not None})
            asked = f"split {split}" + (f", fold {fold}" if fold is not None else "")
            raise UsageError(
                f"{self.root}: no picture of {self.name} in {asked}; splits there: {', '.join(splits)}; "
                f"folds there: {', '.join(map(str, folds)) or 'none'}"
            )
        return tuple(rows[::step])


Loaded = tuple[tuple[Still, ...], tuple[Remark, ...]]
Loader = Callable[[Path, str], Loaded]


def known(name: str) -> str | None:
    """The name of a loader, or None when no data set of single faces is called so."""
    plain = name.strip().casefold().replace("-", "_").replace(" ", "_")
    plain = ALIASES.get(plain, plain)
    return plain if plain in LOADERS else None


def load(name: str, path: str | Path) -> StillSet:
    """Read a data set.

    Raises UsageError for an unknown name, SourceMissing or SourceUnreadable when the folder does not hold that data set.
    """
    own, root = known(name), Path(path)
    if own is None:
        raise UsageError(f"no data set of single faces is called '{name}'. Known: {', '.join(LOADERS)}")
    if not root.exists():
        raise SourceMissing(f"{root}: no such folder; give the folder of {own} as it was distributed")
    module, function = LOADERS[own].split(":")
    read: Loader = getattr(importlib.import_module(f"streamfer.datasets.{module}"), function)
    stills, remarks = read(root, own)
    if not stills:
        why = f"; {len(remarks)} rows were dropped, first: {remarks[0].message}" if remarks else ""
        raise SourceMissing(f"{root}: holds no picture of {own}{why}")
    return StillSet(own, root, stills, remarks)
