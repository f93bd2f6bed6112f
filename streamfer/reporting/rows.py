"""faces.csv in blocks of arrays: what a pass over hours of rows needs, and nothing that grows with them.

For writers that need a few columns of every row once. A table to work with is `faces_csv.read`; pandas is left out here
because loading it takes 60 MB, more than all else that is done at the end of an analysis. A block has only the rows with a
face; a torn last line, as a killed run leaves it, is no row.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamfer.errors import PayloadInvalid

BLOCK_ROWS = 4000  # about 5 MB while they are read


@dataclass(slots=True)
class Block:
    """Rows in the order of the file: (n,) each, `values` (n, K) float32 of the columns asked for, NaN where not usable."""

    times_s: np.ndarray  # float64
    tracks: np.ndarray  # int64
    people: np.ndarray  # str, "" where not identified
    usable: np.ndarray  # bool
    values: np.ndarray


def blocks(path: Path, columns: Sequence[str], rows: int | None = None) -> Iterator[Block]:
    """Read the file once, `rows` (BLOCK_ROWS) rows of faces at a time. Raises PayloadInvalid for cells that are no number."""
    with path.open(encoding="utf-8") as file:
        names = file.readline().strip().split(",")
        wanted = ["timestamp", "face_id", "usable", "person", *columns]
        if not {"success", *wanted} <= set(names):
            return  # a run that was killed before its header was whole
        places = [names.index(name) for name in wanted]
        people: dict[str, int] = {}  # a row holds its person's number here while it is among numbers
        person_at: dict[int | str, Callable[[str], float]] = {
            places[3]: lambda cell: float(people.setdefault(cell, len(people)))
        }
        success = names.index("success")
        seen = (line for line in file if line.endswith("\n") and line.split(",", success + 1)[success] == "1")
        while lines := list(itertools.islice(seen, rows or BLOCK_ROWS)):
            try:
                table = np.loadtxt(
                    lines, delimiter=",", quotechar='"', comments=None, usecols=places, ndmin=2, converters=person_at,
                    encoding="utf-8",
                )  # fmt: skip
            except ValueError as error:
                raise PayloadInvalid(f"{path}: {error}; was it edited?") from None
            yield _block(table, np.array(list(people)))


def _block(table: np.ndarray, people: np.ndarray) -> Block:
    usable = table[:, 2] == 1
    values = table[:, 4:].astype(np.float32)
    values[~usable] = np.nan
    return Block(table[:, 0], table[:, 1].astype(np.int64), people[table[:, 3].astype(np.int64)], usable, values)
