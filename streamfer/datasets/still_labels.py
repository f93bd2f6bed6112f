"""Photographs with one expression each: RAF-DB and AffectNet, in the layouts that are given out and that circulate.

    RAF-DB      basic/EmoLabel/list_patition_label.txt (the file's own spelling): "train_00001.jpg 5"
                basic/Image/aligned/train_00001_aligned.jpg    100 x 100; or the copy train/1 ... 7, test/1 ... 7
    AffectNet   Manually_Annotated_file_lists/training.csv, validation.csv with subDirectory_filePath, face_x, face_y, face_width,
                face_height, facial_landmarks, expression, valence, arousal; Manually_Annotated_Images/<that path>
                train_set/images/0.jpg, train_set/annotations/0_exp.npy (the number, stored as text); val_set the same
                train/0 ... 7 or train/happy ..., val/ or test/ the same: no copy of that kind is official

RAF-DB (Li, Deng & Du 2017): 1 surprise, 2 fear, 3 disgust, 4 happiness, 5 sadness, 6 anger, 7 neutral. AffectNet (Mollahosseini et al.
2017): 0 neutral, 1 happiness, 2 sadness, 3 surprise, 4 fear, 5 disgust, 6 anger, 7 contempt, 8 none, 9 uncertain, 10 no face. The last
three are dropped; with seven classes contempt too. Its test part was never given out. Neither says who is on a picture.
Folders of numbers are read in the data set's own numbering and noted: copies exist that number alphabetically.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from streamfer.datasets import emotions
from streamfer.datasets.folders import expected
from streamfer.datasets.moments import Notes
from streamfer.datasets.still_pictures import IMAGES
from streamfer.datasets.stills import CLASSES, Loaded, Still
from streamfer.errors import SourceUnreadable
from streamfer.records import LABELS

RAF = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
"""RAF-DB's classes 1-7."""
AFFECTNET = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
"""AffectNet's classes 0-7."""
_PARTS = {"train": "train", "training": "train", "train_set": "train", "val": "valid", "valid": "valid", "validation": "valid",
          "val_set": "valid", "test": "test"}  # fmt: skip


def rafdb(root: Path, name: str) -> Loaded:
    lists = [*sorted(root.rglob("list_patition_label.txt")), *sorted(root.rglob("list_partition_label.txt"))]
    if not lists:
        return _class_folders(
            root, name, dict(enumerate(RAF, 1)), "basic/EmoLabel/list_patition_label.txt, or train/1 ... train/7"
        )
    aligned = next((f.parent for f in sorted(root.rglob("*_00001_aligned.jpg"))), None) or next(
        (f.parent for f in sorted(root.rglob("*_aligned.jpg"))), None
    )
    if aligned is None:
        raise expected(root, "basic/Image/aligned/train_00001_aligned.jpg")
    notes = Notes(lists[0].name)
    stills: list[Still] = []
    seen: set[str] = set()
    for row, line in enumerate(lists[0].read_text(encoding="utf-8-sig").splitlines(), 1):
        if not line.strip():
            continue
        match = re.fullmatch(r"((train|test)_\d+)\.jpg\s+(\d+)", line.strip())
        if match is None:
            notes.add("dropped", "row_unread", row, f"'{line[:60]}' is no 'train_00001.jpg 5'")
            continue
        stem, split, number = match[1], match[2], int(match[3])
        if stem in seen:
            notes.add("dropped", "repeated", row, f"{stem} stands in the list twice: the first row counts")
        elif not 1 <= number <= len(RAF):
            notes.add("dropped", "label_unknown", row, f"{stem}: class {number} is none of 1-7")
        elif not _is_there(aligned / f"{stem}_aligned.jpg"):
            notes.add("dropped", "picture_absent", row, f"{stem}_aligned.jpg is not in {aligned.name}")
        else:
            stills.append(Still(aligned / f"{stem}_aligned.jpg", split=split, label=RAF[number - 1]))
        seen.add(stem)
    _is_there_in.cache_clear()
    return tuple(stills), tuple(notes.remarks)


def affectnet(root: Path, name: str) -> Loaded:
    tables = {
        _PARTS[f.stem.casefold()]: f
        for f in sorted(root.rglob("*.csv"))
        if f.stem.casefold() in ("training", "validation")
    }
    arrays = sorted(f for f in root.rglob("annotations") if f.is_dir())
    if tables:
        loaded = _affectnet_tables(root, name, tables)
    elif arrays:
        loaded = _affectnet_arrays(root, name, arrays)
    else:
        what = "Manually_Annotated_file_lists/training.csv, train_set/annotations/0_exp.npy, or train/0 ... train/7"
        loaded = _class_folders(root, name, dict(enumerate(AFFECTNET)), what)
    _is_there_in.cache_clear()
    return loaded


def _affectnet_tables(root: Path, name: str, tables: dict[str, Path]) -> Loaded:
    notes = Notes("+".join(t.name for t in tables.values()))
    images = next((f for f in sorted(root.rglob("Manually_Annotated_Images")) if f.is_dir()), root)
    stills: list[Still] = []
    for split, file in sorted(tables.items()):
        for number, row in csv_rows(file, ("subdirectory_filepath", "expression")):
            label = _affectnet_label(row["expression"], name, notes, number)
            if label is None:
                continue
            path = images / row["subdirectory_filepath"]
            if not _is_there(path):
                notes.add(
                    "dropped",
                    "picture_absent",
                    number,
                    f"{file.name}: {row['subdirectory_filepath']} is not in {images.name}",
                )
                continue
            box = _box([row.get(f"face_{k}", "") for k in ("x", "y", "width", "height")])
            if box is None:
                notes.add(
                    "noted", "box_absent", number, f"{file.name}: no place of the face: looked for in the whole picture"
                )
            stills.append(Still(path, split=split, label=label, box=box))
    return tuple(stills), tuple(notes.remarks)


def _affectnet_arrays(root: Path, name: str, folders: list[Path]) -> Loaded:
    notes = Notes("*_exp.npy")
    stills: list[Still] = []
    for folder in folders:
        split = _PARTS.get(folder.parent.name.casefold(), "")
        images = folder.parent / "images"
        for file in sorted(folder.glob("*_exp.npy"), key=lambda f: (len(f.name), f.name)):
            try:
                text = str(np.load(file, allow_pickle=False).item())
            except (ValueError, OSError, EOFError) as error:
                notes.add(
                    "dropped",
                    "row_unread",
                    None,
                    f"{file.name}: no numpy file that can be read ({type(error).__name__})",
                )
                continue
            label = _affectnet_label(text, name, notes, None, file.name)
            stem = file.name.removesuffix("_exp.npy")
            path = next((p for e in IMAGES if _is_there(p := images / f"{stem}{e}")), None)
            if label is not None and path is None:
                notes.add("dropped", "picture_absent", None, f"{folder.parent.name}: no picture {stem} in images")
            elif label is not None and path is not None:
                stills.append(Still(path, split=split, label=label))
    return tuple(stills), tuple(notes.remarks)


def _affectnet_label(text: str, name: str, notes: Notes, row: int | None, where: str = "") -> str | None:
    try:
        number = int(float(text))
    except (ValueError, OverflowError):  # "inf" is a number too
        number = -1
    label = AFFECTNET[number] if 0 <= number < len(AFFECTNET) else None
    if label is None and number not in (8, 9, 10):
        notes.add("dropped", "label_unknown", row, f"{where} expression '{text}' is none of 0-10".strip())
    elif label is None:
        notes.add("dropped", "no_expression", row, f"{where} expression {number}: none, uncertain or no face".strip())
    elif label not in CLASSES[name]:
        notes.add(
            "dropped", "not_in_classes", row, f"{where} {label} is none of the {len(CLASSES[name])} classes".strip()
        )
        return None
    return label


def _class_folders(root: Path, name: str, numbers: dict[int, str], what: str) -> Loaded:
    """One folder a class, under one folder a part."""
    notes = Notes("folders")
    stills: list[Still] = []
    numbered = False
    for part in sorted(f for f in root.rglob("*") if f.is_dir() and f.name.casefold() in _PARTS):
        for folder in sorted(f for f in part.iterdir() if f.is_dir()):
            written = emotions.plain(folder.name)
            label = numbers.get(int(folder.name)) if folder.name.isdigit() else written if written in LABELS else None
            if label is None:
                notes.add("dropped", "label_unknown", None, f"{part.name}/{folder.name}: no class of {name}")
                continue
            numbered |= folder.name.isdigit()
            if label not in CLASSES[name]:
                notes.add(
                    "dropped",
                    "not_in_classes",
                    None,
                    f"{part.name}/{folder.name}: none of the {len(CLASSES[name])} classes",
                )
                continue
            split = _PARTS[part.name.casefold()]
            stills += [Still(file, split=split, label=label) for file in _images(folder)]
    if not stills and not notes.remarks:
        raise expected(root, what)
    if numbered:
        notes.add(
            "noted", "numbered_folders", None, f"numbers read as {', '.join(f'{k} {v}' for k, v in numbers.items())}"
        )
    return tuple(stills), tuple(notes.remarks)


def _images(folder: Path) -> Iterator[Path]:
    yield from (f for f in sorted(folder.iterdir()) if f.suffix.lower() in IMAGES)


def csv_rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """(row from 1, as a spreadsheet counts; cells by column in lower case) one at a time: these files have 400,000 rows.

    Raises SourceUnreadable when a `needed` column is missing.
    """
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        rows = csv.reader(file)
        header = [name.strip().casefold() for name in next(rows, [])]
        if missing := [name for name in needed if name not in header]:
            raise SourceUnreadable(
                f"{path}: has no column {', '.join(missing)} in its first row; is it the data set's own file?"
            )
        number = 1
        while True:
            try:
                cells = next(rows, None)
            except csv.Error as error:
                raise SourceUnreadable(f"{path}: is no CSV table from row {number + 1} on ({error})") from None
            if cells is None:
                return
            number += 1
            if any(cells):
                yield (
                    number,
                    {name: cell.strip() for name, cell in zip(header, [*cells, *[""] * len(header)], strict=False)},
                )


def _box(cells: list[str]) -> tuple[int, int, int, int] | None:
    try:
        x, y, width, height = (int(float(cell)) for cell in cells)
    except (ValueError, OverflowError):  # "inf" is a number too
        return None
    return (x, y, width, height) if min(x, y) >= 0 and min(width, height) > 0 else None


def _is_there(path: Path) -> bool:
    return path.name in _is_there_in(path.parent)


@cache
def _is_there_in(folder: Path) -> frozenset[str]:
    """Names in a folder: asking the file system for 290,000 pictures one by one takes minutes on a network drive."""
    return frozenset(entry.name for entry in folder.iterdir()) if folder.is_dir() else frozenset()
