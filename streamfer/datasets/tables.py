"""Spreadsheets and CSV files as rows of text, with the row numbers that a spreadsheet shows.

    table = read_table(path, sheet="MICRO_ONLY", header=("Subject", "Filename"))
    for row in table.rows:            # Row: number, cells by column name
        row["Onset Frame"]            # "" where the cell is empty

The header is found by scanning, because official files begin with up to a dozen lines of notes and private copies do not.
Column names are compared without case, blanks and punctuation. Numbers come as they were stored ("5562", "566.4"), so
that nothing is lost before a loader has looked at it. .xls and .xlsx are read by calamine, .csv by the csv module.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from streamfer.errors import ExtraMissing, SourceMissing, SourceUnreadable

SHEETS = (".xlsx", ".xls", ".xlsm", ".ods")
ENDINGS = (*SHEETS, ".csv")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table."""

    number: int  # from 1, as a spreadsheet shows it
    cells: Mapping[str, str]  # by the header as written

    def __getitem__(self, column: str) -> str:
        """The cell of a column, "" when there is none. The name need not be written exactly."""
        return next((value for name, value in self.cells.items() if key(name) == key(column)), "")

    def first(self, *columns: str) -> str:
        """The cell of the first of these columns that the table has."""
        known = {key(name): value for name, value in self.cells.items()}
        return next((known[key(column)] for column in columns if key(column) in known), "")


@dataclass(frozen=True, slots=True)
class Table:
    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def has(self, column: str) -> bool:
        return any(key(name) == key(column) for name in self.columns)


def key(name: str) -> str:
    """A column's name without case, blanks and punctuation: "Onset Frame" and "OnsetFrame" are one."""
    return re.sub(r"[^a-z0-9*]", "", name.casefold())


def read_table(
    path: Path, *, sheet: str | Sequence[str] | None = None, header: Sequence[str] = (), columns: Sequence[str] = ()
) -> Table:
    """Read a table whose header row holds all the names in `header`, or that has none and these `columns`.

    `sheet`: names to look for in this order; the first sheet when none of them is there. Raises SourceMissing,
    SourceUnreadable (not a table, no such header), ExtraMissing.
    """
    grid = read_grid(path, sheet)
    if columns:
        names, start = tuple(columns), 0
    else:
        wanted = [key(name) for name in header]
        start = next((i for i, cells in enumerate(grid) if set(wanted) <= {key(c) for c in cells}), -1) + 1
        if not start:
            raise SourceUnreadable(
                f"{path}: no header row with {', '.join(header)} in its first {len(grid)} rows; is this the data set's table?"
            )
        names = _unique(grid[start - 1])
    rows = [
        Row(number, {name: cells[i] if i < len(cells) else "" for i, name in enumerate(names)})
        for number, cells in enumerate(grid[start:], start + 1)
        if any(cells)
    ]
    return Table(path, names, tuple(rows))


def read_grid(path: Path, sheet: str | Sequence[str] | None = None) -> list[list[str]]:
    """All cells as text. Empty rows are kept, so that row numbers stay true."""
    if not path.is_file():
        raise SourceMissing(f"{path}: this table is not there")
    if path.suffix.lower() == ".csv":
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            text = path.read_text(encoding="gb18030", errors="replace")  # several tables were made on Chinese systems
        try:  # not by lines: a quoted cell may hold several
            return [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text, newline=""))]
        except csv.Error as error:
            raise SourceUnreadable(f"{path}: is no CSV table that can be read ({error})") from None
    try:
        import python_calamine
    except ImportError:
        raise ExtraMissing.of("python-calamine", "datasets", f"reading {path.name}") from None
    try:
        book = python_calamine.CalamineWorkbook.from_path(str(path))
        wanted = [sheet] if isinstance(sheet, str) else list(sheet or ())
        name = next((w for w in wanted if w in book.sheet_names), book.sheet_names[0])
        cells = book.get_sheet_by_name(name).to_python(skip_empty_area=False)
    except (python_calamine.CalamineError, OSError, IndexError) as error:
        raise SourceUnreadable(f"{path}: is no spreadsheet that can be read ({error})") from None
    return [[_text(cell) for cell in row] for row in cells]


def find_table(root: Path, patterns: Iterable[str], what: str) -> Path:
    """The one file under `root` (three levels deep) that fits the first pattern that fits any; newest name first.

    Raises SourceMissing saying what was looked for and what is there.
    """
    patterns = list(patterns)
    files = sorted((f for f in _walk(root, 3) if f.suffix.lower() in ENDINGS), key=lambda f: (f.name, str(f)), reverse=True)
    for pattern in patterns:
        found = [f for f in files if re.search(pattern, f.name, re.IGNORECASE)]
        if found:
            return found[0]
    raise SourceMissing(f"{root}: {what} is not there (a file such as {example(patterns[0])}); what is there: {there(root)}")


def there(folder: Path) -> str:
    """The first few names in a folder, for an error's message."""
    if not folder.is_dir():
        return "no such folder"
    return ", ".join(sorted(path.name for path in folder.iterdir())[:6]) or "nothing"


def example(pattern: str) -> str:
    """A pattern as a person would write it: without the signs of regular expressions."""
    return re.sub(r"\\(.)", r"\1", pattern).replace(".*", "...").replace("^", "").replace("$", "")


def _walk(root: Path, depth: int) -> Iterator[Path]:
    if not root.is_dir():
        return
    for path in root.iterdir():
        if path.name.startswith((".", "~$")):
            continue
        if path.is_file():
            yield path
        elif depth > 1 and path.is_dir():
            yield from _walk(path, depth - 1)


def _text(cell: object) -> str:
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))  # a spreadsheet stores every number as a float
    return str(cell).strip()


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    """Blank and repeated headers get their column's number: CASME II has two nameless columns."""
    return tuple(name if name and name not in names[:i] else f"{name or 'column'} {i + 1}" for i, name in enumerate(names))
