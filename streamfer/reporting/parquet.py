"""faces.parquet: faces.csv with types, written in parts so that hours of video need no memory."""

from __future__ import annotations

from pathlib import Path

from streamfer.reporting.faces_csv import read_chunks
from streamfer.reporting.folder import FACES, Analysis

_WHOLE = {"frame": "int64", "face_id": "int32", "success": "int8"}


def write(analysis: Analysis, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer = None
    try:
        for chunk in read_chunks(analysis.folder / FACES):
            # a part without any face would be read as whole numbers or text: the column decides, not the part
            kinds = {
                name: _WHOLE.get(
                    name, "str" if name in ("person", "reason") else "float32" if name != "timestamp" else "float64"
                )
                for name in chunk.columns
            }
            table = pa.Table.from_pandas(chunk.astype(kinds), preserve_index=False)
            if writer is None:
                writer = pq.ParquetWriter(path, table.schema)
            writer.write_table(table.cast(writer.schema))
    finally:
        if writer is not None:
            writer.close()
