"""One's own data: `annotations.csv` (or .xlsx) in the folder, a row for each expression.

    clip      path of a video or of a folder of frames, from the table's folder                 needed
    onset     frame number, counted as the files' names do, or from `first` (1) in a video       needed for an expression
    offset    the same; included                                                                needed for an expression
    subject   who; the clip's first folder when there is none
    apex      the same, may be empty
    kind      micro or macro; by its length (micro <= 0.5 s) when empty
    fps       needed for folders of frames; a video says its own
    emotion, aus   as you write them (aus.py, emotions.py)

A row with a clip only (no onset) says that this clip holds no expression.
"""

from __future__ import annotations

from pathlib import Path

from streamfer.datasets.casme import Loaded
from streamfer.datasets.folders import Found, Placing, annotate, gather, is_clip
from streamfer.datasets.moments import Notes, mend
from streamfer.datasets.samm import kind_of
from streamfer.datasets.tables import Row, find_table, read_table
from streamfer.errors import SourceUnreadable
from streamfer.records import Kind

MICRO_MAX_S = 0.5


def plain(root: Path, name: str) -> Loaded:
    path = root if root.is_file() else find_table(root, [r"^annotations\.(csv|xlsx?)$", r"\.csv$"], "the table")
    table = read_table(path, header=("clip",))
    notes = Notes(path.name)
    found: Found = []
    places: dict[Path, Placing] = {}
    rates: dict[str, float] = {}
    for row in table.rows:
        at = path.parent / row["clip"]
        if not row["clip"] or not is_clip(at):
            notes.add("dropped", "clip_absent", row.number, f"'{row['clip']}': no such video or folder of frames")
            continue
        parts = Path(row["clip"]).with_suffix("").parts if at.is_file() else Path(row["clip"]).parts
        clip = "_".join(part for part in parts if part not in (".", ".."))
        subject = row["subject"] or parts[0]
        if clip not in rates:
            rate = _fps(at, row, notes)
            if rate is None:
                continue
            rates[clip] = rate
        placing = places.setdefault(at, Placing(at))
        if not row["onset"] and not row["offset"]:
            found.append((subject, clip, at, placing.first_number, None))
            continue
        moments = mend(row["onset"], row["apex"] if table.has("apex") else None, row["offset"], notes, row.number)
        placed = placing.place(moments, notes, row.number) if moments else None
        if placed is None:
            found.append((subject, clip, at, placing.first_number, None))
            continue
        kind = _kind(row, (placed.offset - placed.onset) / rates[clip], notes)
        aus = row["aus"] if table.has("aus") else None
        note = annotate(subject, clip, kind, placed, row, row["emotion"], aus, notes)
        found.append((subject, clip, at, placing.first_number, note))
    return gather(name, rates.__getitem__, found), tuple(notes.remarks)


def _kind(row: Row, length_s: float, notes: Notes) -> Kind:
    kind = kind_of(row["kind"])
    if kind is None:
        kind = "micro" if length_s <= MICRO_MAX_S else "macro"
        notes.add("noted", "kind_by_length", row.number, f"kind '{row['kind']}': {kind}, because it lasts {length_s:.2f} s")
    return kind


def _fps(path: Path, row: Row, notes: Notes) -> float | None:
    try:
        return float(row["fps"])
    except ValueError:
        pass
    if path.is_dir():
        notes.add("dropped", "fps_missing", row.number, f"{row['clip']} is a folder of frames: its fps must be in the table")
        return None
    from streamfer.config import Config
    from streamfer.video import open_video

    try:
        with open_video(path, Config().video) as source:
            fps = source.info.fps
    except SourceUnreadable as error:
        notes.add("dropped", "clip_unreadable", row.number, str(error))
        return None
    if not fps:
        notes.add("dropped", "fps_missing", row.number, f"{row['clip']} does not say its frame rate: put it into the table")
        return None
    return float(fps)
