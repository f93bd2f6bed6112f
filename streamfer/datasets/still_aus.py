"""Frames with action units coded one by one: DISFA, BP4D, FEAFA+.

    DISFA    ActionUnit_Labels/SN001/SN001_au1.txt    "frame,intensity", frames from 1, 0-5; 27 people, 12 AUs
             Videos_LeftCamera/LeftVideoSN001_comp.avi, or a folder SN001 (LeftVideoSN001) of numbered pictures
    BP4D     AUCoding/AU_OCC/F001_T1.csv              header 0,1,2,...: frame, then each AU as 0, 1 or 9 (not coded)
             AUCoding/AU_INT/AU12/F001_T1_AU12.csv    "frame,intensity", 0-5 or 9; also AU-Intensity-Codes3.0/AU12/...
             .../F001/T1/2440.jpg                     zeros before the number differ from sequence to sequence
    FEAFA+   PV001.output/00000001.auw                one line of 24 numbers 0-1; the frame beside it, or in a folder PV001

DISFA: Mavadati et al. 2013. Frames 4,845 a video, some videos one shorter than their labels. Where its own landmarks failed
(SN021 for a third of the video, for instance; the list is in maheenRashid/caps_dis) the labels stand and are kept. BP4D: Zhang
et al. 2014; intensities for AU6, 10, 12, 14, 17. `FOLDS` are the three parts of JAA-Net and ME-GraphAU; fold n tests its subjects.

FEAFA+ (Yan et al. 2019, Gan et al. 2021) has 24 movements of its own, 0-1. They go through the map in action_units/facs.py, times
5, with these rules: an AU without a counterpart (6, 7, 14, 15, 24, 25) stays absent; AU23, 27, 45 and 46 share a movement with 28,
26 and 43, which a frame cannot tell apart, and are left out; "brow raise" stands for AU1 and AU2 both; of two movements for a
whole-face AU the stronger counts. Which side its authors call left is not written anywhere found: taken as the person's own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from streamfer.action_units import facs
from streamfer.datasets.folders import expected
from streamfer.datasets.moments import Notes
from streamfer.datasets.still_pictures import IMAGES, VIDEOS
from streamfer.datasets.stills import Loaded, Still

DISFA_AUS = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)
NOT_CODED = 9
FOLDS: dict[str, tuple[str, str, str]] = {
    "disfa": (
        "SN003 SN029 SN023 SN025 SN008 SN005 SN007 SN017 SN004",
        "SN013 SN018 SN011 SN028 SN012 SN006 SN031 SN021 SN024",
        "SN002 SN010 SN001 SN026 SN027 SN032 SN030 SN009 SN016",
    ),
    "bp4d": (
        "F007 F015 F006 F019 M006 M009 F012 M003 F004 F021 F017 M015 F014",
        "M011 F003 M010 M002 F005 F022 M018 M017 F013 M016 F020 F011 M013 M005",
        "F001 M007 F018 F008 F002 M004 F010 F009 M012 M001 F016 M014 F023 M008",
    ),
}
"""Subjects tested in fold 1, 2, 3."""
_NEAR_ONLY = (23, 27, 45, 46)


def disfa(root: Path, name: str) -> Loaded:
    labels = root if root.name == "ActionUnit_Labels" else _one(root, "ActionUnit_Labels")
    people = sorted(p for p in labels.iterdir() if p.is_dir() and re.fullmatch(r"SN\d{3}", p.name))
    if not people:
        raise expected(labels, "folders such as SN001 with SN001_au1.txt")
    notes = Notes("ActionUnit_Labels")
    stills: list[Still] = []
    places = _disfa_pictures(root, labels)
    for person in people:
        subject = person.name
        found = places.get(subject)
        if found is None:
            notes.add(
                "dropped",
                "clip_absent",
                None,
                f"{subject}: neither LeftVideo{subject}_comp.avi nor a folder of its frames",
            )
            continue
        coded: dict[int, dict[str, float]] = {}
        for au in DISFA_AUS:
            file = person / f"{subject}_au{au}.txt"
            if not file.is_file():
                notes.add(
                    "noted", "au_file_absent", None, f"{file.name} is not there: AU{au} of {subject} stays unknown"
                )
                continue
            for number, value in _pairs(file, notes):
                if not 0 <= value <= 5:
                    notes.add(
                        "noted", "intensity_unknown", number, f"{file.name}: {value} is none of 0-5: left unknown"
                    )
                    continue
                coded.setdefault(number, {})[facs.column(au)] = float(value)
        stills += _placed(found, subject, coded, notes, _fold(name, subject))
    return tuple(stills), tuple(notes.remarks)


def bp4d(root: Path, name: str) -> Loaded:
    tables = {
        file.stem: file
        for file in sorted(root.rglob("[FM][0-9][0-9][0-9]_T[0-9].csv"))
        if not re.fullmatch(r"AU\d+", file.parent.name)
    }
    if not tables:
        raise expected(root, "AUCoding/AU_OCC/F001_T1.csv")
    intensities = _bp4d_intensities(root)
    folders = {
        f"{f.parent.name}_{f.name}": f
        for f in sorted(root.rglob("T[0-9]"))
        if f.is_dir() and re.fullmatch(r"[FM]\d{3}", f.parent.name)
    }
    notes = Notes("AUCoding")
    stills: list[Still] = []
    for sequence, file in tables.items():
        if sequence not in folders:
            notes.add(
                "dropped", "clip_absent", None, f"{sequence}: no folder {sequence.replace('_', '/')} with its pictures"
            )
            continue
        subject = sequence[:4]
        there_of = _bp4d_occurrence(file, notes)
        coded: dict[int, dict[str, float]] = {}
        for au, own in intensities.get(sequence, {}).items():
            for number, value in _pairs(own, notes):
                if 0 <= value <= 5:
                    coded.setdefault(number, {})[facs.column(au)] = float(value)
                elif value != NOT_CODED:
                    notes.add(
                        "noted", "intensity_unknown", number, f"{own.name}: {value} is none of 0-5 and 9: left unknown"
                    )
        pictures = _numbered(folders[sequence])
        for number, present in there_of.items():
            if number not in pictures:
                notes.add(
                    "dropped", "picture_absent", number, f"{sequence}: frame {number} is coded and has no picture"
                )
                continue
            if not present and number not in coded:
                notes.add("dropped", "not_coded", number, f"{sequence}: nothing of frame {number} was coded")
                continue
            stills.append(Still(
                pictures[number], subject, aus=coded.get(number) or None, present=present or None, fold=_fold(name, subject)
            ))  # fmt: skip
    return tuple(stills), tuple(notes.remarks)


def feafa(root: Path, name: str) -> Loaded:
    folders = sorted({file.parent for file in root.rglob("*.auw")})
    if not folders:
        raise expected(root, "files such as PV001.output/00000001.auw")
    notes = Notes("*.auw")
    stills: list[Still] = []
    for folder in folders:
        subject = re.sub(r"\.output$", "", folder.name)
        beside = _numbered(folder) or next((_numbered(f) for f in (folder.parent / subject,) if f.is_dir()), {})
        for file in sorted(folder.glob("*.auw")):
            values = _feafa_values(file, notes)
            if values is None:
                continue
            number = _last_number(file)
            if number not in beside:
                notes.add(
                    "dropped",
                    "picture_absent",
                    number,
                    f"{folder.name}/{file.name}: no picture of that number beside it",
                )
                continue
            stills.append(Still(beside[number], subject, aus=feafa_aus(values)))
    return tuple(stills), tuple(notes.remarks)


def feafa_aus(values: list[float]) -> dict[str, float]:
    """FEAFA's 24 movements 0-1 as intensities 0-5 of the AUs that have a counterpart (the module's docstring has the rules)."""
    aus: dict[str, float] = {}
    for unit in facs.UNITS.values():
        own = [5 * values[i] for i in unit.feafa]
        if not own or unit.number in _NEAR_ONLY:
            continue
        if unit.sided and len(own) == 2:
            aus.update(zip(unit.columns, own, strict=True))
        else:
            aus[facs.column(unit.number)] = max(own)
    return aus


def _feafa_values(file: Path, notes: Notes) -> list[float] | None:
    try:
        values = [float(text) for text in file.read_text(encoding="utf-8", errors="replace").split()]
    except ValueError:
        values = []
    if len(values) != len(facs.FEAFA) or any(math.isnan(value) for value in values):
        notes.add(
            "dropped",
            "values_missing",
            _last_number(file),
            f"{file.parent.name}/{file.name}: holds no {len(facs.FEAFA)} numbers",
        )
        return None
    kept = [min(max(value, 0.0), 1.0) for value in values]
    if kept != values:
        notes.add(
            "repaired",
            "clipped",
            _last_number(file),
            f"{file.parent.name}/{file.name}: a number outside 0-1 was cut to it",
        )
    return kept


def _disfa_pictures(root: Path, labels: Path) -> dict[str, Path | dict[int, Path]]:
    """Subject -> its video, or its pictures by frame number from 1. The left camera comes before the right one."""
    base = root.parent if root.name == "ActionUnit_Labels" else root
    found: dict[str, Path | dict[int, Path]] = {}
    paths = [p for p in sorted(base.rglob("*SN[0-9][0-9][0-9]*")) if labels not in p.parents]
    for path in sorted(paths, key=lambda p: ("right" in str(p.relative_to(base)).casefold(), str(p))):
        match = re.search(r"SN\d{3}", path.name)
        if match is None or match[0] in found:
            continue
        if path.suffix.lower() in VIDEOS and path.is_file():
            found[match[0]] = path
        elif path.is_dir() and (numbered := _numbered(path)):
            shift = 1 - min(numbered) if min(numbered) == 0 else 0  # some tools write the first frame as 0.png
            found[match[0]] = {number + shift: file for number, file in numbered.items()}
    return found


def _placed(
    found: Path | dict[int, Path], subject: str, coded: Mapping[int, dict[str, float]], notes: Notes, fold: int | None
) -> Iterator[Still]:
    """Stills of one subject of DISFA; labels whose frame is not there are counted, not moved."""
    frames = _video_frames(found) if isinstance(found, Path) else None
    for number, aus in sorted(coded.items()):
        if isinstance(found, dict):
            path, frame, missing = found.get(number), None, number not in found
        else:
            path, frame, missing = found, number - 1, number < 1 or (frames is not None and number > frames)
        if missing or path is None:
            notes.add("dropped", "frame_absent", number, f"{subject}: frame {number} is coded and not in the pictures")
            continue
        yield Still(path, subject, frame=frame, aus=aus, fold=fold)


def _video_frames(path: Path) -> int | None:
    """How many frames the container says there are; None when it does not."""
    import av

    try:
        with av.open(str(path)) as container:
            return container.streams.video[0].frames or None if container.streams.video else 0
    except (av.FFmpegError, OSError):
        return 0


def _bp4d_occurrence(file: Path, notes: Notes) -> dict[int, dict[str, bool]]:
    """Frame -> AU -> there or not, of what was coded."""
    lines = file.read_text(encoding="utf-8-sig").splitlines()
    columns = (
        {i: int(n) for i, n in enumerate(lines[0].split(",")) if i and n.strip().isdigit() and int(n) in facs.UNITS}
        if lines
        else {}
    )
    coded: dict[int, dict[str, bool]] = {}
    for row, line in enumerate(lines[1:], 2):
        cells = [cell.strip() for cell in line.split(",")]
        if not any(cells):
            continue
        if not cells[0].isdigit() or len(cells) < len(columns):
            notes.add("dropped", "row_unread", row, f"{file.name}: '{line[:40]}' is no row of a frame")
            continue
        coded[int(cells[0])] = {
            facs.column(au): cells[i] == "1" for i, au in columns.items() if i < len(cells) and cells[i] in ("0", "1")
        }
    return coded


def _bp4d_intensities(root: Path) -> dict[str, dict[int, Path]]:
    """Sequence -> AU -> its file."""
    found: dict[str, dict[int, Path]] = {}
    for file in sorted(root.rglob("*.csv")):
        match = re.fullmatch(r"([FM]\d{3}_T\d)(?:_AU0?(\d+))?\.csv", file.name, re.IGNORECASE)
        au = (match and match[2]) or ((m := re.fullmatch(r"AU0?(\d+)", file.parent.name)) and m[1])
        if match and au:
            found.setdefault(match[1].upper(), {})[int(au)] = file
    return found


def _pairs(file: Path, notes: Notes) -> Iterator[tuple[int, int]]:
    """("frame,intensity") of each line."""
    for row, line in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), 1):
        if not line.strip():
            continue
        try:
            number, value = (int(float(cell)) for cell in line.split(","))
        except (ValueError, OverflowError):
            notes.add("dropped", "row_unread", row, f"{file.name}: '{line[:40]}' is no 'frame,intensity'")
            continue
        yield number, value


def _numbered(folder: Path) -> dict[int, Path]:
    """Pictures of a folder by the last number in their names."""
    files = (f for f in sorted(folder.iterdir()) if f.suffix.lower() in IMAGES)
    return {number: file for file in files if (number := _last_number(file)) is not None}


def _last_number(file: Path) -> int | None:
    numbers = re.findall(r"\d+", file.stem)
    return int(numbers[-1]) if numbers else None


def _fold(name: str, subject: str) -> int | None:
    return next((n for n, people in enumerate(FOLDS[name], 1) if subject in people.split()), None)


def _one(root: Path, name: str) -> Path:
    found = next((p for p in sorted(root.rglob(name)) if p.is_dir()), None)
    if found is None:
        raise expected(root, f"a folder {name}")
    return found
