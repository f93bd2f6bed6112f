"""faces.csv: one row per face and frame, OpenFace's column names first, so that its readers work unchanged.

Columns, in this order (docs/output.md has their meaning):

    frame face_id timestamp confidence success          frame counts from 0, as everywhere here; face_id is the track
    pose_Tx pose_Ty pose_Tz pose_Rx pose_Ry pose_Rz     mm and radians
    AUxx_r ...                                          0-5, neutral level taken off, the stronger side
    AUxx_c ...                                          1 from the presence threshold on
    person box_x box_y box_w box_h usable reason size_px sharpness yaw_deg occlusion neutral_s
    AUxx_L_r AUxx_R_r ...                               each side of AUs that have sides, neutral level taken off
    AUxx_L_raw AUxx_R_raw AUxx_raw ...                  as the model gives them
    x_0 ... x_67 y_0 ... y_67                           with `output.landmarks`

A frame without a face has one row with success=0 (OpenFace's frame counts from 1; its readers do not care).
Whole lines are handed to the system at least once a second, so what is on disk after a kill is valid but for
at most one torn line, which `repair` removes together with the other rows of its frame.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from streamfer.records import AUReading, Face

if TYPE_CHECKING:
    import pandas as pd

_FLUSH_S = 1.0
_BUFFER_LINES = 256
CHUNK_ROWS = 5_000  # about 5 MB in memory, 25 while they are read

_HEAD = [
    "frame",
    "face_id",
    "timestamp",
    "confidence",
    "success",
    "pose_Tx",
    "pose_Ty",
    "pose_Tz",
    "pose_Rx",
    "pose_Ry",
    "pose_Rz",
]
_MORE = [
    "person",
    "box_x",
    "box_y",
    "box_w",
    "box_h",
    "usable",
    "reason",
    "size_px",
    "sharpness",
    "yaw_deg",
    "occlusion",
    "neutral_s",
]


class FacesCsv:
    """Appends rows. `au_names` are the model's column names; `threshold` is the intensity of presence."""

    def __init__(
        self, path: Path, au_names: Sequence[str], *, threshold: float, landmarks: bool = False, append: bool = False
    ) -> None:
        names = list(au_names)
        self._threshold = threshold
        self._landmarks = landmarks
        self._sides = [indices for _, indices in _sides(names)]
        self._sided = [i for i, name in enumerate(names) if "_" in name]
        header = columns(names, landmarks)
        self._no_face = "%d,0,%.6f,0,0" + "," * (len(header) - 5) + "\n"
        # one format for the whole row: this runs for every face of every frame, beside the analysis
        self._row_format = (
            "%d,%d,%.6f,%.3f,1,%.2f,%.2f,%.2f,%.4f,%.4f,%.4f"
            + ",%.3f" * len(self._sides)
            + ",%d" * len(self._sides)
            + ",%s,%.2f,%.2f,%.2f,%.2f,%d,%s,%.1f,%.1f,%.2f,%.3f,%.2f"
            + ",%.3f" * (len(self._sided) + len(names))
            + ",%.2f" * (136 if landmarks else 0)
            + "\n"
        )
        self._lines: list[str] = []
        self._flushed = time.monotonic()
        self._file = path.open("ab" if append else "wb", buffering=0)
        self.rows = 0
        if self._file.tell() == 0:
            self._file.write((",".join(header) + "\n").encode())

    def write(self, frame: int, time_s: float, faces: Sequence[tuple[Face, AUReading, float]]) -> None:
        """All rows of one frame: `faces` are (face, AUs, seconds of neutral level known)."""
        if not faces:
            self._lines.append(self._no_face % (frame, time_s))
        for face, aus, neutral_s in faces:
            self._lines.append(self._row(frame, time_s, face, aus, neutral_s))
        if len(self._lines) >= _BUFFER_LINES or time.monotonic() - self._flushed > _FLUSH_S:
            self.flush()

    def flush(self) -> None:
        if self._lines:
            data = memoryview("".join(self._lines).encode())
            self.rows += len(self._lines)
            self._lines.clear()
            while data:  # unbuffered, so that a full disk is an error here and not at exit
                data = data[self._file.write(data) :]
        self._flushed = time.monotonic()

    def close(self) -> None:
        try:
            self.flush()
        finally:
            self._file.close()

    def _row(self, frame: int, time_s: float, face: Face, aus: AUReading, neutral_s: float) -> str:
        corrected = aus.corrected.tolist()
        strongest = [
            corrected[indices[0]] if len(indices) == 1 else max([corrected[i] for i in indices])
            for indices in self._sides
        ]
        threshold = self._threshold
        pose, box, quality = face.pose, face.box, face.quality
        reason = '"' + quality.reason.replace('"', "'") + '"' if quality.reason else ""
        points = face.landmarks[_points68(), :2].T.ravel().tolist() if self._landmarks else ()
        return self._row_format % (
            frame, face.track, time_s, face.confidence, pose.tx, pose.ty, pose.tz, pose.rx, pose.ry, pose.rz,
            *strongest,
            *[value >= threshold for value in strongest],
            face.person, box.x, box.y, box.w, box.h, quality.usable, reason,
            quality.size_px, quality.sharpness, quality.yaw_deg, quality.occlusion, neutral_s,
            *[corrected[i] for i in self._sided],
            *aus.raw.tolist(),
            *points,
        )  # fmt: skip


@cache
def _points68() -> np.ndarray:
    """The 68 of the 478 landmarks that OpenFace's readers know."""
    from streamfer.faces.align import IBUG68

    return np.asarray(IBUG68)


def columns(au_names: Sequence[str], landmarks: bool = False) -> list[str]:
    """The header for a model's columns."""
    units = [unit for unit, _ in _sides(au_names)]
    points = [f"{axis}_{i}" for axis in "xy" for i in range(68)] if landmarks else []
    return [
        *_HEAD,
        *(f"{unit}_r" for unit in units),
        *(f"{unit}_c" for unit in units),
        *_MORE,
        *(f"{name}_r" for name in au_names if "_" in name),
        *(f"{name}_raw" for name in au_names),
        *points,
    ]


def _sides(au_names: Sequence[str]) -> list[tuple[str, list[int]]]:
    """AUs in the model's order with the places of their columns: [("AU12", [3, 4]), ("AU17", [5])]."""
    found: dict[str, list[int]] = {}
    for i, name in enumerate(au_names):
        found.setdefault(name.split("_")[0], []).append(i)
    return list(found.items())


def repair(path: Path) -> None:
    """Make a file that a killed run left valid: drop a torn last line and all rows of the last frame.

    The last frame goes because the rows of its other faces may be missing.
    """
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        start = max(0, size - 2**20)
        file.seek(start)
        tail = file.read()
        whole = tail[: tail.rfind(b"\n") + 1]
        lines = whole.splitlines(keepends=True)
        head = 1 if start == 0 else 0  # the header is no row
        keep = len(lines)
        if keep > head:
            last = lines[-1].split(b",", 1)[0]
            while keep > head and lines[keep - 1].split(b",", 1)[0] == last:
                keep -= 1
        file.truncate(start + sum(len(line) for line in lines[:keep]))


def read_chunks(path: Path, rows: int = CHUNK_ROWS, only: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
    """The table in parts, for files of hours; `person` and `reason` are text, "" when empty. `only` names columns."""
    import pandas as pd

    texts = {name: "" for name in ("person", "reason") if only is None or name in only}
    with pd.read_csv(path, chunksize=rows, dtype=dict.fromkeys(texts, str), usecols=only) as reader:  # type: ignore[arg-type]
        for chunk in reader:
            yield chunk.fillna(texts)


def header(path: Path) -> list[str]:
    """The names of the columns of a file."""
    with path.open(encoding="utf-8") as file:
        return file.readline().strip().split(",")


def read(path: Path) -> pd.DataFrame:
    """The whole table."""
    import pandas as pd

    chunks = list(read_chunks(path))
    return pd.concat(chunks, ignore_index=True) if chunks else pd.read_csv(path)
