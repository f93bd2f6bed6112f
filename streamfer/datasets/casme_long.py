"""The Chinese Academy's long videos at 30 fps: CAS(ME)^2, and parts A and C of CAS(ME)^3.

    CAS(ME)^2/rawpic/s15/15_0101disgustingteeth/img001.jpg         (or longVideoFaceCropped, cropped, rawvideo)
              CAS(ME)^2code_final.xlsx, no header: subject 1-22, "disgust1_1", onset, apex, offset, AU, class, kind, self report
    CAS(ME)^3/part_A/spNO.1/a/color/1.jpg                          CAS(ME)3_part_A_v2.xls, sheet AU+Emotion
              emotions of the micro-expressions are in a second table, ..._ME_label_JpgIndex_v2.xlsx
              part_C/...                                            CAS(ME)3_part_C_ME.xlsx, sheet mockCrimeME; no apex

CAS(ME)^2's table counts subjects 1-22, its folders are s15 ... s40; the film is a code in the folder's name ("naming rule"
1 and 2 of the workbook). Offset 0 (44 macro rows, "not finished") becomes the apex. CAS(ME)^3 lost frames in recording:
numbers without a file are noted, time goes on. Videos without any expression are clips too.
"""

from __future__ import annotations

import re
from pathlib import Path

from streamfer.datasets.casme import Loaded
from streamfer.datasets.folders import Found, Placing, child, enter, expected, find_folder, gather, is_clip
from streamfer.datasets.moments import Notes
from streamfer.datasets.samm import kind_of
from streamfer.datasets.tables import Row, find_table, read_table
from streamfer.errors import SourceMissing

FPS = 30.0
SUBJECTS = (15, 16, *range(19, 28), *range(29, 39), 40)
"""CAS(ME)^2: folder number of subject 1 ... 22 ("naming rule1")."""
FILMS = {
    "disgust1": "0101", "disgust2": "0102", "anger1": "0401", "anger2": "0402", "happy1": "0502", "happy2": "0503",
    "happy3": "0505", "happy4": "0507", "happy5": "0508",
}  # fmt: skip
"""CAS(ME)^2: code of each film ("naming rule2")."""
_COLUMNS = ("Subject", "Expression", "Onset", "Apex", "Offset", "AU", "Class", "Type", "Self report", "column 10", "column 11")


def casme_squared(root: Path, name: str) -> Loaded:
    path = find_table(root, [r"code_final\.(xlsx?|csv)$"], "the table of CAS(ME)^2")
    table = read_table(path, sheet="CASFEcode_final", columns=_COLUMNS)
    frames = ["rawpic", "longVideoFaceCropped", "cropped", "rawvideo"]
    base = find_folder(root, frames, f"one of the folders {', '.join(frames)} beside {path.name}")
    notes = Notes(path.name)
    found, places = _videos(base)
    by_code = {(subject, _film(clip)): clip for subject, clip, *_ in found}
    for row in table.rows:
        number = int(row["Subject"]) if row["Subject"].isdigit() else 0
        film = re.match(r"[a-z]+\d+", row["Expression"].casefold())
        if not 1 <= number <= len(SUBJECTS) or film is None or film[0] not in FILMS:
            notes.add("dropped", "no_subject", row.number,
                      f"subject '{row['Subject']}', expression '{row['Expression']}': not a row of data")  # fmt: skip
            continue
        subject = f"s{SUBJECTS[number - 1]}"
        clip = by_code.get((subject, FILMS[film[0]]))
        if clip is None:
            notes.add("dropped", "clip_absent", row.number, f"{subject}: no video of film {FILMS[film[0]]} ({film[0]})")
            continue
        _add(found, places, notes, subject, clip, row, row["Type"], row["Apex"], row["Class"], row["AU"])
    return gather(name, FPS, found), tuple(notes.remarks)


def casme3a(root: Path, name: str) -> Loaded:
    path = find_table(root, [r"part_A_v2\.(xlsx?|csv)$", r"part_A.*\.(xlsx?|csv)$"], "the table of CAS(ME)^3 part A")
    table = read_table(path, sheet="AU+Emotion", header=("Subject", "Filename", "Onset", "Offset", "Expression type"))
    base = find_folder(root, ["part_A", "partA", "Part_A", "."], "a folder part_A with spNO.1/a/color/1.jpg")
    notes = Notes(path.name)
    found: Found = []
    places: dict[str, Placing] = {}
    for subject in sorted((p for p in base.iterdir() if re.match(r"spNO\.\d+", p.name)), key=_natural):
        for film in sorted(p for p in subject.iterdir() if p.is_dir()):
            pictures = child(film, "color") or film
            if is_clip(pictures):
                clip = f"{subject.name}_{film.name}"
                places[clip] = Placing(pictures)
                found.append((subject.name, clip, pictures, places[clip].first_number, None))
    if not found:
        raise expected(base, "folders such as spNO.1/a/color/1.jpg")
    emotions = _emotions_3a(root, notes)
    by_lower = {clip.casefold(): clip for clip in places}
    for row in table.rows:
        wanted = f"{row['Subject']}_{row['Filename']}"
        clip = by_lower.get(wanted.casefold(), "")
        if not clip:
            notes.add("dropped", "clip_absent", row.number, f"{wanted}: no such folder of frames")
            continue
        emotion = emotions.get((wanted.casefold(), row["Onset"]), "")
        _add(found, places, notes, row["Subject"], clip, row, row["Expression type"], row["Apex"], emotion, row["AU"])
    return gather(name, FPS, found), tuple(notes.remarks)


def casme3c(root: Path, name: str) -> Loaded:
    path = find_table(root, [r"part_C_ME\.(xlsx?|csv)$"], "the table of CAS(ME)^3 part C")
    table = read_table(path, sheet="mockCrimeME", header=("sub", "onset", "offset", "au", "emotion"))
    base = find_folder(root, ["part_C", "partC", "Part_C", "."], "a folder part_C with one folder for each subject")
    notes = Notes(path.name)
    found: Found = []
    places: dict[str, Placing] = {}
    for entry in sorted((p for p in base.iterdir() if p.is_dir() or is_clip(p)), key=_natural):
        pictures = child(entry, "color") or entry
        if is_clip(pictures):
            subject = entry.stem if entry.is_file() else entry.name
            places[subject] = Placing(pictures)
            found.append((subject, subject, pictures, places[subject].first_number, None))
    if not found:
        raise expected(base, "one folder of frames or video for each subject")
    by_number = {_digits(clip): clip for clip in places}
    for row in table.rows:
        clip = by_number.get(_digits(row["sub"]), "") if _digits(row["sub"]) else ""
        if not clip:
            notes.add("dropped", "clip_absent", row.number, f"subject '{row['sub']}': no such folder of frames")
            continue
        _add(found, places, notes, clip, clip, row, "micro", None, row["emotion"], row["au"])
    return gather(name, FPS, found), tuple(notes.remarks)


def _add(
    found: Found, places: dict[str, Placing], notes: Notes, subject: str, clip: str, row: Row, kind_text: str,
    apex: str | None, emotion: str, aus: str,
) -> None:  # fmt: skip
    kind = kind_of(kind_text)
    if kind is None:
        notes.add("dropped", "kind_unknown", row.number, f"type '{kind_text}' is neither macro nor micro")
        return
    enter(found, notes, row, places[clip], subject, clip, kind, (row["Onset"], apex, row["Offset"]), emotion, aus)


def _videos(base: Path) -> tuple[Found, dict[str, Placing]]:
    """All videos of CAS(ME)^2: s15/15_0101disgustingteeth, as folders of frames or as files."""
    found: Found = []
    places: dict[str, Placing] = {}
    for subject in sorted(p for p in base.iterdir() if re.fullmatch(r"s\d+", p.name)):
        for path in sorted(subject.iterdir()):
            if re.match(r"\d+_\d{4}", path.name) and is_clip(path):
                places[path.stem] = Placing(path)
                found.append((subject.name, path.stem, path, places[path.stem].first_number, None))
    if not found:
        raise expected(base, "folders such as s15/15_0101disgustingteeth/img001.jpg")
    return found, places


def _film(clip: str) -> str:
    return clip.split("_", 1)[1][:4]


def _emotions_3a(root: Path, notes: Notes) -> dict[tuple[str, str], str]:
    """(clip, onset) -> emotion of the micro-expressions, where the second table is there."""
    try:
        path = find_table(root, [r"part_A_ME_label.*\.(xlsx?|csv)$"], "the table of the micro-expressions' emotions")
    except SourceMissing:
        notes.add("noted", "emotions_absent", None, "the table of the micro-expressions' emotions is not there")
        return {}
    table = read_table(path, sheet="label", header=("Subject", "Filename", "Onset", "emotion"))
    return {(f"{r['Subject']}_{r['Filename']}".casefold(), r["Onset"]): r["emotion"] for r in table.rows}


def _digits(text: str) -> int | None:
    found = re.search(r"\d+", text)
    return int(found[0]) if found else None


def _natural(path: Path) -> tuple[int, str]:
    return _digits(path.name) or 0, path.name
