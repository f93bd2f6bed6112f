"""FER+: ten taggers' votes for each picture of FER2013, in the forms in which the two are given out and stored.

    fer2013new.csv    Usage, Image name, neutral, happiness, surprise, sadness, anger, disgust, fear, contempt, unknown, NF
    fer2013.csv       emotion, pixels, Usage: the same rows in the same order, the pictures as 2,304 numbers
    or instead of fer2013.csv the pictures FER2013Train/fer0000000.png, FER2013Valid, FER2013Test that FER+'s script writes
    or one *.npz or several: images (N, 48, 48) uint8, votes (N, 10); the part from the file's name (train, valid, test)

Barsoum et al. 2016, microsoft/FERPlus (MIT). Training is train, PublicTest valid, PrivateTest test. Rows without an image name (all
taggers saw no face) are dropped, as the authors' script does. The label is the majority of evaluation/expression.py, None where
there is none. icml_face_data.csv, Kaggle's later file, has the same columns in another order and is read the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from streamfer.datasets.folders import expected
from streamfer.datasets.moments import Notes
from streamfer.datasets.still_labels import csv_rows
from streamfer.datasets.still_pictures import FER_PX, IMAGES
from streamfer.datasets.stills import Loaded, Still
from streamfer.errors import SourceUnreadable
from streamfer.evaluation.expression import VOTED, majority
from streamfer.records import LABELS

_PARTS = {"training": "train", "publictest": "valid", "privatetest": "test"}


def ferplus(root: Path, name: str) -> Loaded:
    if root.suffix.lower() == ".npz":
        return _arrays([root])
    votes = next(iter(sorted(root.rglob("fer2013new.csv"))), None)
    if votes is None:
        if arrays := sorted(root.glob("*.npz")):
            return _arrays(arrays)
        raise expected(root, "fer2013new.csv beside fer2013.csv, or an npz with images and votes")
    faces = next((f for n in ("fer2013.csv", "icml_face_data.csv") for f in sorted(root.rglob(n))), None)
    pictures = {f.name: f for ending in IMAGES for f in root.rglob(f"fer*{ending}")} if faces is None else {}
    if faces is None and not pictures:
        raise expected(
            votes.parent, "fer2013.csv, or pictures such as FER2013Train/fer0000000.png, beside fer2013new.csv"
        )
    return _tables(votes, faces, pictures)


def _tables(votes: Path, faces: Path | None, pictures: dict[str, Path]) -> Loaded:
    notes = Notes(votes.name)
    rows = list(csv_rows(votes, ("usage", "image name", *(column.casefold() for column in VOTED))))
    partner = list(_usage_and_pixels(faces)) if faces is not None else []
    if faces is not None and len(partner) != len(rows):
        raise SourceUnreadable(
            f"{votes.name} has {len(rows)} rows and {faces.name} {len(partner)}: only their order joins them, both must be complete"
        )
    stills: list[Still] = []
    for place, (number, row) in enumerate(rows):
        file, split = row["image name"], _PARTS.get(row["usage"].casefold())
        count = _votes([row[column.casefold()] for column in VOTED])
        if split is None or count is None:
            notes.add("dropped", "row_unread", number, f"usage '{row['usage']}' or the votes cannot be read")
        elif not file:
            notes.add("dropped", "not_a_face", number, "no image name: the taggers saw no face")
        elif faces is not None and partner[place][0].casefold() != row["usage"].casefold():
            notes.add("dropped", "usage_differs", number, f"{row['usage']} here, {partner[place][0]} in {faces.name}")
        elif faces is not None and not partner[place][1]:
            notes.add("dropped", "pixels_broken", number, f"{faces.name}: no {FER_PX * FER_PX} pixels")
        elif faces is None and file not in pictures:
            notes.add("dropped", "picture_absent", number, f"{file} is not there")
        else:
            path, frame = (faces, place) if faces is not None else (pictures[file], None)
            stills.append(Still(path, split=split, frame=frame, label=_label(count), votes=count))
    return tuple(stills), tuple(notes.remarks)


def _usage_and_pixels(faces: Path) -> Iterator[tuple[str, bool]]:
    """Usage, and whether the row has as many pixels as a picture needs."""
    for _, row in csv_rows(faces, ("pixels", "usage")):
        yield row["usage"], row["pixels"].count(" ") == FER_PX**2 - 1


def _arrays(files: list[Path]) -> Loaded:
    stills: list[Still] = []
    for file in files:
        with np.load(file, allow_pickle=False) as data:
            missing = {"images", "votes"} - set(data.files)
            if missing:
                raise SourceUnreadable(f"{file} has no {' and no '.join(sorted(missing))}: it must hold both")
            votes = data["votes"]
        if votes.ndim != 2 or votes.shape[1] != len(VOTED):
            raise SourceUnreadable(f"{file}: votes are {votes.shape}, they must be (N, {len(VOTED)})")
        split = next((part for part in ("train", "valid", "test") if part in file.stem.casefold()), "")
        labels = majority(votes)
        stills += [
            Still(file, split=split, frame=row, label=LABELS[label] if label >= 0 else None, votes=tuple(map(int, own)))
            for row, (own, label) in enumerate(zip(votes, labels, strict=True))
        ]
    return tuple(stills), ()


def _votes(cells: list[str]) -> tuple[int, ...] | None:
    try:
        return tuple(int(cell) for cell in cells)
    except ValueError:
        return None


def _label(votes: tuple[int, ...]) -> str | None:
    best = int(majority(np.array([votes]))[0])
    return LABELS[best] if best >= 0 else None
