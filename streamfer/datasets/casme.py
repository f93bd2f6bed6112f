"""CASME (60 fps) and CASME II (200 fps): a folder of frames for each micro-expression, one table.

    CASME2-RAW/sub01/EP02_01f/img1.jpg            the whole clip, or
    CASME2_RAW_selected/sub01/EP02_01f/img46.jpg  onset to offset only, or Cropped/sub01/EP02_01f/reg_img46.jpg
    CASME2-coding-*.xlsx                          Subject, Filename, OnsetFrame, ApexFrame, OffsetFrame, Action Units, ...

Numbers in the table are those in the files' names, from 1, the offset included. The official tables have nameless columns;
a missing apex is '/'. Row fixes that other loaders (tvaranka/meb) apply by row number to a copy of the table with one row
more are not applied: nothing says which rows they are in yours.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from streamfer.datasets.folders import Found, Placing, child, enter, find_folder, gather, is_clip
from streamfer.datasets.moments import Notes
from streamfer.datasets.records import Clip, Remark
from streamfer.datasets.tables import find_table, read_table

Loaded = tuple[tuple[Clip, ...], tuple[Remark, ...]]


def casme(root: Path, name: str) -> Loaded:
    return _read(
        root, name, 60.0, tables=[r"^CASME.*\.(xlsx?|csv)$"],
        frames=["CASME_raw_selected", "CASME-raw", "Cropped", "Section A/Cropped", "cropped"],
        onset="OnsetF", apexes=("ApexF1", "ApexF2", "ApexF"), offset="OffsetF", aus="AU", emotion=("Emotion", "Estimated Emotion"),
    )  # fmt: skip


def casme2(root: Path, name: str) -> Loaded:
    return _read(
        root, name, 200.0, tables=[r"^CASME2.coding.*\.(xlsx?|csv)$", r"^CASME2.*\.(xlsx?|csv)$"],
        frames=["CASME2-RAW", "CASME2_RAW", "CASME2-RAW-Localized", "CASME2_RAW_selected", "Cropped"],
        onset="OnsetFrame", apexes=("ApexFrame",), offset="OffsetFrame", aus="Action Units",
        emotion=("Estimated Emotion", "Emotion"),
    )  # fmt: skip


def _read(
    root: Path, name: str, fps: float, *, tables: list[str], frames: list[str], onset: str, apexes: Sequence[str],
    offset: str, aus: str, emotion: Sequence[str],
) -> Loaded:  # fmt: skip
    path = find_table(root, tables, f"the table of {name}")
    table = read_table(path, header=("Subject", "Filename", onset, offset))
    pictures = find_folder(root, frames, f"one of the folders {', '.join(frames)} beside {path.name}")
    notes = Notes(path.name)
    found: Found = []
    for row in table.rows:
        subject = subject_folder(row["Subject"])
        file = row["Filename"]
        if not subject or not file:
            notes.add("dropped", "no_subject", row.number, "neither subject nor file name: not a row of data")
            continue
        own = child(pictures, subject)
        folder = child(own, file) if own is not None else None
        if folder is None or not is_clip(folder):
            notes.add("dropped", "clip_absent", row.number, f"{subject}/{file}: no such folder of frames")
            continue
        apex = next((cell for column in apexes if (cell := row[column]) not in ("", "/", "0")), row.first(*apexes))
        enter(found, notes, row, Placing(folder), subject, f"{subject}_{folder.name}", "micro",
              (row[onset], apex, row[offset]), row.first(*emotion), row[aus])  # fmt: skip
    return gather(name, fps, found), tuple(notes.remarks)


def subject_folder(text: str) -> str:
    """ "1", "01" or "sub01" -> "sub01"."""
    digits = re.search(r"\d+", text)
    return f"sub{int(digits[0]):02d}" if digits else ""
