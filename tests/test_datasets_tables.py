"""Tables as they are distributed: notes above the header, nameless columns, other encodings, broken files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from streamfer.datasets.tables import find_table, read_table
from streamfer.errors import ExtraMissing, SourceMissing, SourceUnreadable

HEADER = ("Subject", "Onset Frame")


def book(path: Path, **sheets: list[list[Any]]) -> Path:
    openpyxl = pytest.importorskip("openpyxl")
    made = openpyxl.Workbook()
    made.remove(made.active)
    for name, rows in sheets.items():
        sheet = made.create_sheet(name)
        for row in rows:
            sheet.append(row)
    made.save(path)
    return path


def written(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("notes", [0, 1, 9, 12])
def test_the_header_is_found_below_notes(tmp_path: Path, notes: int) -> None:
    above: list[list[Any]] = [[f"Note {i}: Subject and more"] if i % 2 else [] for i in range(notes)]
    rows = [*above, ["Subject", "Filename", "Onset Frame"], ["006", "006_1_2", 5562], [], ["007", "007_3_1", 566.4]]
    table = read_table(book(tmp_path / "t.xlsx", MICRO_ONLY=rows), sheet="MICRO_ONLY", header=HEADER)
    assert table.columns == ("Subject", "Filename", "Onset Frame")
    assert [(r.number, r["Subject"], r["Onset Frame"]) for r in table.rows] == [
        (notes + 2, "006", "5562"), (notes + 4, "007", "566.4"),
    ]  # fmt: skip


def test_nameless_and_repeated_columns_keep_their_cells(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", "Subject,Filename,,OnsetFrame,Filename,\n1,EP02_01f,x,46,again,y\n2,short\n")
    table = read_table(path, header=("Subject", "OnsetFrame"))
    assert table.columns == ("Subject", "Filename", "column 3", "OnsetFrame", "Filename 5", "column 6")
    assert dict(table.rows[0].cells) == {
        "Subject": "1", "Filename": "EP02_01f", "column 3": "x", "OnsetFrame": "46", "Filename 5": "again", "column 6": "y",
    }  # fmt: skip
    assert table.rows[1]["OnsetFrame"] == ""  # a row that ends early


def test_columns_are_found_however_they_are_written(tmp_path: Path) -> None:
    table = read_table(written(tmp_path / "t.csv", "SUBJECT , onset_frame\n006,7\n"), header=("Subject", "Onset Frame"))
    row = table.rows[0]
    assert (row["Onset Frame"], row["OnsetFrame"], row["Apex"]) == ("7", "7", "")
    assert row.first("OnsetF", "OnsetFrame") == "7" and row.first("Apex") == ""
    assert table.has("ONSET FRAME") and not table.has("Apex")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_encodings_of_csv(tmp_path: Path, encoding: str) -> None:
    table = read_table(written(tmp_path / "t.csv", "Subject,备注\n1,眨眼\n", encoding), header=("Subject",))
    assert table.rows[0].cells["备注"] == "眨眼"


def test_a_cell_of_several_lines_is_one_cell(tmp_path: Path) -> None:
    table = read_table(written(tmp_path / "t.csv", 'Subject,Notes\r\n006,"two\r\nlines"\r\n007,one\r\n'), header=("Subject",))
    assert [r["Subject"] for r in table.rows] == ["006", "007"] and table.rows[0]["Notes"].split() == ["two", "lines"]


def test_a_table_without_header(tmp_path: Path) -> None:
    path = book(tmp_path / "t.xlsx", CASFEcode_final=[[1, "anger1_1", 557], [2, "happy1_1", 12]])
    table = read_table(path, sheet="CASFEcode_final", columns=("Subject", "Expression", "Onset", "Apex"))
    assert [(r.number, r["Expression"], r["Onset"], r["Apex"]) for r in table.rows] == [
        (1, "anger1_1", "557", ""), (2, "happy1_1", "12", ""),
    ]  # fmt: skip


def test_the_sheet_by_name_else_the_first(tmp_path: Path) -> None:
    path = book(tmp_path / "t.xlsx", first=[["Subject"], ["a"]], second=[["Subject"], ["b"]])
    assert read_table(path, sheet="second", header=("Subject",)).rows[0]["Subject"] == "b"
    assert read_table(path, sheet=("other", "second"), header=("Subject",)).rows[0]["Subject"] == "b"
    assert read_table(path, sheet="other", header=("Subject",)).rows[0]["Subject"] == "a"


def test_no_such_header_names_the_file_and_what_was_sought(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", "a,b\n1,2\n")
    with pytest.raises(SourceUnreadable, match=r"t\.csv: no header row with Subject, Onset Frame in its first 2 rows"):
        read_table(path, header=HEADER)


@pytest.mark.parametrize("content", [b"", b"not a workbook", b"PK\x03\x04" + bytes(200)], ids=["empty", "text", "cut"])
def test_a_corrupt_workbook(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("python_calamine")
    (tmp_path / "t.xlsx").write_bytes(content)
    with pytest.raises(SourceUnreadable, match=r"t\.xlsx: is no spreadsheet that can be read"):
        read_table(tmp_path / "t.xlsx", header=HEADER)


def test_a_csv_that_is_none(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", "Subject,Notes\n1," + "x" * 200_000 + "\n")
    with pytest.raises(SourceUnreadable, match=r"t\.csv: is no CSV table that can be read"):
        read_table(path, header=("Subject",))


def test_without_the_spreadsheet_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.xlsx").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    with pytest.raises(ExtraMissing, match=r"t\.xlsx.*datasets"):
        read_table(tmp_path / "t.xlsx", header=HEADER)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing, match=r"none\.csv: this table is not there"):
        read_table(tmp_path / "none.csv", header=HEADER)


def test_find_table(tmp_path: Path) -> None:
    patterns = [r"^CASME2.coding.*\.(xlsx?|csv)$", r"^CASME2.*\.(xlsx?|csv)$"]
    for name in ("CASME2-coding-20140508.xlsx", "deep/CASME2-coding-20190701.xlsx", "CASME2_other.csv", "~$CASME2-coding-9.xlsx",
                 "a/b/c/CASME2-coding-20990101.xlsx"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = find_table(tmp_path, patterns, "the table of casme2")
    assert found.name == "CASME2-coding-20190701.xlsx"  # the newest; not a lock file, not four levels down
    assert find_table(tmp_path, [r"nothing\.csv$", *patterns[1:]], "").name.startswith("CASME2")


def test_find_table_says_what_was_sought_and_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(SourceMissing) as caught:
        find_table(tmp_path, [r"code_final\.(xlsx?|csv)$"], "the table of CAS(ME)^2")
    for part in (str(tmp_path), "the table of CAS(ME)^2", "code_final", "holiday.jpg"):
        assert part in str(caught.value)
    with pytest.raises(SourceMissing, match="no such folder"):
        find_table(tmp_path / "none", [r"x\.csv"], "a table")
