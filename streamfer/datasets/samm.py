"""SAMM (micro-expressions) and SAMM Long Videos (micro and macro), both 200 fps and grey.

    SAMM/006/006_1_2/006_05562.jpg         SAMM_Micro_FACS_Codes_v2.xlsx, sheet MICRO_ONLY: a dozen rows of notes, then the header
    SAMM_longvideos/006_1/006_1_0001.jpg   SAMM_LongVideos_V*_Release.xlsx, sheet FACS_Movement_Only: nine rows of notes

Subjects are three digits with zeros in front, which spreadsheets lose. Frame numbers of the two tables differ by a
constant that changes from video to video: they are never mixed. In the long videos some macro rows have fractions as
frames, 10 have onset 0 (on from the start), 6 have apex -1. There the emotion is not coded.
"""

from __future__ import annotations

import re
from pathlib import Path

from streamfer.datasets.casme import Loaded
from streamfer.datasets.folders import Found, Placing, child, enter, expected, gather, is_clip
from streamfer.datasets.moments import Notes
from streamfer.datasets.tables import find_table, read_table
from streamfer.records import Kind

FPS = 200.0


def samm(root: Path, name: str) -> Loaded:
    path = find_table(root, [r"^SAMM.*Micro.*FACS.*\.(xlsx?|csv)$"], "the table of SAMM")
    table = read_table(path, sheet="MICRO_ONLY", header=("Subject", "Filename", "Onset Frame", "Offset Frame"))
    base = _frames(root, r"\d{3}$", "a folder for each subject such as 006/006_1_2/006_05562.jpg")
    notes = Notes(path.name)
    found: Found = []
    for row in table.rows:
        clip = row["Filename"]
        if not re.fullmatch(r"\d{3}_\d+_\d+", clip):
            notes.add("dropped", "no_subject", row.number, f"file name '{clip}' is none of SAMM's: not a row of data")
            continue
        subject = clip[:3]
        own = child(base, subject)
        folder = child(own, clip) if own is not None else None
        if folder is None or not is_clip(folder):
            notes.add("dropped", "clip_absent", row.number, f"{subject}/{clip}: no such folder of frames")
            continue
        written = row["Onset Frame"], row["Apex Frame"], row["Offset Frame"]
        enter(found, notes, row, Placing(folder), subject, clip, "micro", written, row["Estimated Emotion"], row["Action Units"])
    return gather(name, FPS, found), tuple(notes.remarks)


def samm_lv(root: Path, name: str) -> Loaded:
    path = find_table(root, [r"^SAMM.*Long.*Videos.*\.(xlsx?|csv)$"], "the table of SAMM Long Videos")
    table = read_table(path, sheet="FACS_Movement_Only", header=("Subject", "Filename", "Onset", "Offset", "Type"))
    base = _frames(root, r"\d{3}_\d+$", "a folder for each video such as 006_1/006_1_0001.jpg")
    notes = Notes(path.name)
    folders = {p.name: p for p in sorted(base.iterdir()) if re.fullmatch(r"\d{3}_\d+", p.name) and is_clip(p)}
    places = {video: Placing(folder) for video, folder in folders.items()}
    found: Found = [
        (video[:3], video, folder, places[video].first_number, None) for video, folder in folders.items()
    ]
    for row in table.rows:
        parts = row["Filename"].split("_")
        if len(parts) < 3 or not re.fullmatch(r"\d{3}", parts[0]):
            notes.add("dropped", "no_subject", row.number, f"file name '{row['Filename']}' is none of SAMM's: not a row of data")
            continue
        video = "_".join(parts[:2])
        if video not in folders:
            notes.add("dropped", "clip_absent", row.number, f"{video}: no such folder of frames")
            continue
        kind = kind_of(row["Type"])
        if kind is None:
            notes.add("dropped", "kind_unknown", row.number, f"type '{row['Type']}' is neither macro nor micro")
            continue
        written = row["Onset"], row["Apex"], row["Offset"]
        enter(found, notes, row, places[video], parts[0], video, kind, written, "", row["Action Units"])
    return gather(name, FPS, found), tuple(notes.remarks)


def kind_of(text: str) -> Kind | None:
    """ "Micro - 1/2", "macro-expression" -> micro, macro."""
    lower = text.casefold()
    return "micro" if "micro" in lower else "macro" if "macro" in lower else None


def _frames(root: Path, pattern: str, layout: str) -> Path:
    """The folder, at most two levels down, that holds folders of this name."""
    for base in [root, *sorted(p for p in root.iterdir() if p.is_dir())]:
        if any(re.match(pattern, p.name) and p.is_dir() for p in base.iterdir()):
            return base
    raise expected(root, layout)
