"""SMIC: HS (100 fps), VIS and NIR (25 fps), and the longer clips E of each.

    SMIC_all_raw/HS/s01/micro/negative/s1_ne_01/image559700.jpg    a clip is one micro-expression: no table, no apex, no AUs
    HS_long/SMIC_HS_E/s20/s20_ne_01/image17581039.jpg              SMIC-HS-E_annotation.xlsx: Subject, Filename, OnsetF, OffsetF, ...

Frame numbers are counters of the camera. Clip names are padded differently in folders, tables and lists, so they are all
brought to one form (s01_ne_01). Rows of the table that name no clip (there are some below the data) are dropped.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from streamfer.datasets.casme import Loaded
from streamfer.datasets.folders import Found, Placing, annotate, enter, expected, gather, is_clip, numbers_of
from streamfer.datasets.moments import Moments, Notes
from streamfer.datasets.tables import Row, find_table, read_table

EMOTIONS = {"ne": "negative", "po": "positive", "sur": "surprise"}
_NAME = re.compile(r"s0*(\d+)_(ne|po|sur)_0*(\d+)", re.IGNORECASE)


def clip_name(text: str) -> str:
    """ "s3_po_05", "s03_po_5" -> "s03_po_05"; "" for anything else."""
    found = _NAME.fullmatch(text.strip())
    return f"s{int(found[1]):02d}_{found[2].lower()}_{int(found[3]):02d}" if found else ""


def _short(root: Path, name: str, part: str, fps: float) -> Loaded:
    """Clips cut from onset to offset."""
    found: Found = []
    for folder in sorted(root.rglob("s*_*_*")):
        clip = clip_name(folder.name)
        inside = [p.casefold() for p in folder.relative_to(root.parent).parts[:-1]]
        if not clip or part.casefold() not in inside or not is_clip(folder) or "non_micro" in inside:
            continue
        numbers = numbers_of(folder)
        row = Row(0, {"folder": str(folder.relative_to(root))})
        moments = Moments(0, None, len(numbers) - 1)
        note = annotate(clip.split("_")[0], clip, "micro", moments, row, EMOTIONS[clip.split("_")[1]])
        found.append((clip.split("_")[0], clip, folder, numbers[0] if numbers else None, note))
    if not found:
        raise expected(root, f"folders such as {part}/s01/micro/negative/s1_ne_01/image559700.jpg")
    return gather(name, fps, found), ()


def _long(root: Path, name: str, part: str, fps: float) -> Loaded:
    path = find_table(root, [rf"SMIC.{part}.E.*\.(xlsx?|csv)$"], f"the table of SMIC-{part}-E")
    table = read_table(path, header=("Subject", "Filename", "OnsetF", "OffsetF"))
    folders = {
        clip: f for f in sorted(root.rglob("s*_*_*"))
        if (clip := clip_name(f.name)) and is_clip(f)
        and f"smic_{part}_e".casefold() in [p.casefold() for p in f.relative_to(root.parent).parts]
    }  # fmt: skip
    if not folders:
        raise expected(root, f"folders such as {part}_long/SMIC_{part}_E/s20/s20_ne_01/image17581039.jpg")
    notes = Notes(path.name)
    found: Found = []
    for row in table.rows:
        clip = clip_name(row["Filename"])
        if not clip:
            notes.add("dropped", "no_subject", row.number, f"file name '{row['Filename']}' is none of SMIC's: not a row of data")
            continue
        if clip not in folders:
            notes.add("dropped", "clip_absent", row.number, f"{clip}: no such folder of frames")
            continue
        subject, word, _ = clip.split("_")
        enter(found, notes, row, Placing(folders[clip]), subject, clip, "micro", (row["OnsetF"], None, row["OffsetF"]),
              row["Emotion"] or EMOTIONS[word], None)  # fmt: skip
    return gather(name, fps, found), tuple(notes.remarks)


hs = partial(_short, part="HS", fps=100.0)
vis = partial(_short, part="VIS", fps=25.0)
nir = partial(_short, part="NIR", fps=25.0)
hs_e = partial(_long, part="HS", fps=100.0)
vis_e = partial(_long, part="VIS", fps=25.0)
nir_e = partial(_long, part="NIR", fps=25.0)
