"""MMEW (90 fps), 4DME (60 fps, grey) and DFME (200, 300 or 500 fps, said in each row).

    MMEW   Micro_Expression/happiness/S03-01-002/1.jpg  or  S03/happiness/S03-01-002/1.jpg    MMEW_Micro_Exp.xlsx
    4DME   gray_micro/<sub>/<fold_name>/*.jpg                                               4DME_Labelling_Micro_release v1.xlsx
    DFME   DFME_train/sub0008_01/00095.png                                                   any table with EmotionId and Fps

MMEW's macro-expressions are single pictures, no clips. 4DME's AUs ending in (k) are of low confidence; its long videos and
their table are not read (its columns are not published). DFME counts from 0. Its fps differ from clip to clip.
"""

from __future__ import annotations

import re
from pathlib import Path

from streamfer.datasets.casme import Loaded
from streamfer.datasets.folders import Found, Placing, child, enter, expected, find_folder, gather, is_clip
from streamfer.datasets.moments import Notes
from streamfer.datasets.tables import Row, find_table, read_table


def mmew(root: Path, name: str) -> Loaded:
    path = find_table(root, [r"^MMEW.*Micro.*\.(xlsx?|csv)$", r"^MMEW.*\.(xlsx?|csv)$"], "the table of MMEW")
    table = read_table(path, header=("Subject", "Filename", "OnsetFrame", "OffsetFrame"))
    base = child(root, "Micro_Expression") or root
    # emotion first (as released) or subject first (as the web page says): the clip's own name is enough
    folders = {f.name.casefold(): f for f in sorted(base.rglob("S*-*-*")) if f.is_dir() and is_clip(f)}
    if not folders:
        raise expected(root, "folders such as Micro_Expression/happiness/S03-01-002/1.jpg")
    notes = Notes(path.name)
    found: Found = []
    for row in table.rows:
        clip = row["Filename"]
        folder = folders.get(clip.casefold())
        subject = _mmew_subject(row["Subject"], clip)
        _add(found, notes, row, subject, clip, folder, ("OnsetFrame", "ApexFrame", "OffsetFrame"),
             row.first("Estimated Emotion", "Emotion"), row["Action Units"])  # fmt: skip
    return gather(name, 90.0, found), tuple(notes.remarks)


def four_dme(root: Path, name: str) -> Loaded:
    path = find_table(root, [r"^4DME.*Micro.*\.(xlsx?|csv)$"], "the table of 4DME's micro-expressions")
    table = read_table(path, header=("sub_ID", "fold_name", "Onset", "Offset", "AUs"))
    base = find_folder(root, ["gray_micro", "4DME/gray_micro", "gray"], "a folder gray_micro with <sub>/<fold_name>/")
    notes = Notes(path.name)
    found: Found = []
    for row in table.rows:
        subject, fold = row["sub_ID"], row["fold_name"]
        own = child(base, subject)
        folder = child(own, fold) if own is not None and fold else None
        clip = f"{subject}_{fold}"
        _add(found, notes, row, subject, clip, folder, ("Onset", "Apex", "Offset"), row["Emotion"], row["AUs"])
    return gather(name, 60.0, found), tuple(notes.remarks)


def dfme(root: Path, name: str) -> Loaded:
    path = find_table(root, [r"(DFME|train|label|annot).*\.(xlsx?|csv)$"], "the table of DFME")
    table = read_table(path, header=("Subject", "Filename", "OnsetFrame", "OffsetFrame", "Fps"))
    folders = {f.name.casefold(): f for f in sorted(root.rglob("sub*_*")) if f.is_dir() and is_clip(f)}
    if not folders:
        raise expected(root, "folders such as DFME_train/sub0008_01/00095.png")
    notes = Notes(path.name)
    found: Found = []
    fps: dict[str, float] = {}
    for row in table.rows:
        clip = row["Filename"]
        try:
            fps[clip] = float(row["Fps"])
        except ValueError:
            notes.add("dropped", "fps_missing", row.number, f"{clip}: fps '{row['Fps']}' is no number")
            continue
        _add(found, notes, row, row["Subject"], clip, folders.get(clip.casefold()),
             ("OnsetFrame", "ApexFrame", "OffsetFrame"), row["Emotion"], row["AU"], base=0)  # fmt: skip
    return gather(name, fps.__getitem__, found), tuple(notes.remarks)


def _add(
    found: Found, notes: Notes, row: Row, subject: str, clip: str, folder: Path | None, columns: tuple[str, str, str],
    emotion: str, aus: str, base: int = 1,
) -> None:  # fmt: skip
    if not subject or not clip:
        notes.add("dropped", "no_subject", row.number, "neither subject nor file name: not a row of data")
        return
    if folder is None or not is_clip(folder):
        notes.add("dropped", "clip_absent", row.number, f"{clip}: no such folder of frames")
        return
    onset, apex, offset = columns
    written = row[onset], row[apex], row[offset]
    enter(found, notes, row, Placing(folder, base), subject, clip, "micro", written, emotion, aus)


def _mmew_subject(text: str, clip: str) -> str:
    digits = re.search(r"\d+", text) or re.match(r"S(\d+)", clip)
    return f"S{int(digits[0] if digits.lastindex is None else digits[1]):02d}" if digits else ""
