"""signals.parquet: what the screener measured in every frame, so that a threshold can be chosen from data.

The screener's rows come in stages: "signal" (one row per face and frame) goes to the file itself, each other stage,
such as "micro" (one row per candidate, also of those that were not reported, with the numbers behind its score), to a
file beside it: signals.micro.parquet. Written in parts, so a long video needs no memory for it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

_PART_ROWS = 5000


class SignalsFile:
    """Call it with one row (a dict with "stage"); close it at the end, or the files are not valid."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._writers: dict[str, Any] = {}
        path.parent.mkdir(parents=True, exist_ok=True)

    def __call__(self, row: dict[str, Any]) -> None:
        stage = str(row.get("stage", "signal"))
        rows = self._rows.setdefault(stage, [])
        rows.append(row)
        if len(rows) >= _PART_ROWS:
            self._write(stage)

    def close(self) -> None:
        for stage in list(self._rows):
            self._write(stage)
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def path_of(self, stage: str) -> Path:
        return (
            self._path if stage == "signal" else self._path.with_name(f"{self._path.stem}.{stage}{self._path.suffix}")
        )

    def _write(self, stage: str) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = self._rows[stage]
        if not rows:
            return
        writer = self._writers.get(stage)
        if writer is None:
            table = pa.Table.from_pylist(rows)
            writer = self._writers[stage] = pq.ParquetWriter(self.path_of(stage), table.schema)
        else:
            table = pa.Table.from_pylist(rows, schema=writer.schema)
        writer.write_table(table)
        rows.clear()
