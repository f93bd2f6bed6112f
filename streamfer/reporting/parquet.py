"""faces.parquet: faces.csv with types, written in parts so that hours of video need no memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from streamfer.errors import PayloadInvalid
from streamfer.reporting.faces_csv import header
from streamfer.reporting.folder import FACES, Analysis

_PART_BYTES = 1 << 20  # of text, read at a time
_GROUP_ROWS = 20_000  # about 10 MB in memory
_TEXTS = ("person", "reason")


def write(analysis: Analysis, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet as pq

    source = analysis.folder / FACES
    # the column decides its type, not what a part happens to hold: in a part without any face all cells may be empty
    types: dict[str, Any] = {
        "frame": pa.int64(),
        "face_id": pa.int32(),
        "success": pa.int8(),
        "timestamp": pa.float64(),
    }
    types |= dict.fromkeys(_TEXTS, pa.string())
    schema = pa.schema([(name, types.get(name, pa.float32())) for name in header(source)])
    read = pyarrow.csv.ReadOptions(use_threads=False, column_names=schema.names)
    convert = pyarrow.csv.ConvertOptions(column_types=schema)
    with pq.ParquetWriter(path, schema) as writer:
        group: list[pa.Table] = []
        for part in _parts(source):
            try:
                group.append(pyarrow.csv.read_csv(pa.BufferReader(part), read_options=read, convert_options=convert))
            except pa.ArrowInvalid as error:
                raise PayloadInvalid(f"{source}: {error}; was it edited?") from None
            if sum(map(len, group)) >= _GROUP_ROWS:
                writer.write_table(pa.concat_tables(group))
                group.clear()
        if group:
            writer.write_table(pa.concat_tables(group))


def _parts(source: Path) -> Iterator[bytes]:
    """The rows without the header, whole lines: a torn last one of a run that is still writing is left out."""
    with source.open("rb") as file:
        file.readline()
        rest = b""
        while more := file.read(_PART_BYTES):
            end = more.rfind(b"\n") + 1
            if end:
                yield rest + more[:end]
            rest = more[end:] if end else rest + more
