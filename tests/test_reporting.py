"""Output files: whole lines after any kill, loadable in other people's software, no text that breaks a format."""

import csv
import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from streamfer.errors import PayloadInvalid, SourceMissing, UsageError
from streamfer.records import AUReading, ChainOfThought
from streamfer.reporting import FORMATS, write_formats
from streamfer.reporting import folder as files
from streamfer.reporting.curves import NONE, STEP, gather
from streamfer.reporting.faces_csv import FacesCsv, columns, read, read_chunks, repair
from streamfer.reporting.facts import facts, remarks
from streamfer.reporting.html import script_json
from tests.analyses import AUS, EVENTS, HOSTILE, face, result, write_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path)


# ------------------------------------------------------------------------------------------------ faces.csv


def rows(path: Path, count: int, append: bool = False, start: int = 0) -> None:
    faces = FacesCsv(path, AUS, threshold=1.0, append=append)
    aus = AUReading(AUS, np.full(7, 1.5, np.float32), np.array([1, 0.5, 0, 0, 2, 3, 0.2], np.float32))
    for i in range(start, start + count):
        faces.write(i, i / 30, [(face(1, "P1"), aus, 2.0), (face(2, ""), aus, 2.0)] if i % 3 else [])
    faces.close()


def test_openfaces_columns_come_first() -> None:
    assert columns(AUS)[:19] == [
        "frame", "face_id", "timestamp", "confidence", "success", "pose_Tx", "pose_Ty", "pose_Tz", "pose_Rx", "pose_Ry",
        "pose_Rz", "AU01_r", "AU04_r", "AU12_r", "AU17_r", "AU01_c", "AU04_c", "AU12_c", "AU17_c",
    ]  # fmt: skip


def test_a_reader_of_openface_files_reads_ours(tmp_path: Path) -> None:
    """As OpenFace's users do it: strip the header, take success, timestamps in seconds, intensities 0-5, presence 0/1."""
    rows(tmp_path / "faces.csv", 9)
    with (tmp_path / "faces.csv").open() as file:
        table = [{key.strip(): value for key, value in row.items()} for row in csv.DictReader(file)]
    seen = [row for row in table if row["success"] == "1"]
    assert len(table) == 3 + 12 and len(seen) == 12
    assert [float(row["timestamp"]) for row in seen[:3:2]] == pytest.approx([1 / 30, 2 / 30], abs=1e-6)
    assert float(seen[0]["AU12_r"]) == 3.0, "the stronger side"
    assert (float(seen[0]["AU12_L_r"]), float(seen[0]["AU12_R_r"])) == (2.0, 3.0)
    assert {row["AU01_c"] for row in seen} == {"1"} and {row["AU17_c"] for row in seen} == {"0"}
    assert all(row["AU01_r"] == "" for row in table if row["success"] == "0")


def test_rows_have_as_many_cells_as_the_header_and_types_are_stable(tmp_path: Path) -> None:
    rows(tmp_path / "faces.csv", 30)
    with (tmp_path / "faces.csv").open() as file:
        assert {len(row) for row in csv.reader(file)} == {len(columns(AUS))}
    table = read(tmp_path / "faces.csv")
    assert set(table["person"]) == {"P1", ""}
    assert sum(len(chunk) for chunk in read_chunks(tmp_path / "faces.csv", rows=7)) == len(table)


@pytest.mark.parametrize("cut", [0, 1, 40, 200, 5000])
def test_a_file_cut_anywhere_is_repaired_to_whole_frames(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "faces.csv"
    rows(path, 60)
    path.write_bytes(path.read_bytes()[: -cut or None])
    repair(path)
    last = int(read(path)["frame"].iloc[-1])
    rows(path, 60 - last - 1, append=True, start=last + 1)
    whole = tmp_path / "whole.csv"
    rows(whole, 60)
    assert path.read_bytes() == whole.read_bytes()


def test_a_file_with_only_a_header_is_repaired_to_nothing(tmp_path: Path) -> None:
    path = tmp_path / "faces.csv"
    rows(path, 0)
    repair(path)
    assert path.read_text().count("\n") == 1


# --------------------------------------------------------------------------------------------------- folder


def test_events_and_explanations_load(folder: Path) -> None:
    analysis = files.load(folder)
    assert [e.id for e in analysis.events] == [e.id for e in EVENTS]
    assert [e.id for e in analysis.unexplained()] == [EVENTS[3].id]
    assert analysis.faces["person"].isin(["P1", "P2", ""]).all()


def test_a_growing_or_killed_folder_loads_what_is_whole(folder: Path) -> None:
    with (folder / "events.jsonl").open("a") as file:
        file.write('{"id": "half')
    assert len(files.load(folder).events) == 4
    files.repair(folder)
    assert (folder / "events.jsonl").read_bytes().endswith(b"\n")


def test_an_explanation_after_a_torn_one_is_a_whole_line(folder: Path) -> None:
    """`streamfer explain` goes on in a folder whose run was killed while it wrote."""
    (folder / "explanations.jsonl").write_text('{"id": "ha')
    files.append(folder / "explanations.jsonl", result(EVENTS[3], "late"))
    assert files.load(folder).unexplained() == []


def test_what_a_kill_left_half_replaced_goes(folder: Path) -> None:
    for name in (".run.json.123", ".events.jsonl.123", ".part-report.html"):
        (folder / name).write_text("half")
    files.repair(folder)
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


def test_merge_is_one_step_and_safe_to_repeat(folder: Path) -> None:
    files.append(folder / "explanations.jsonl", result(EVENTS[3], "late"))
    files.merge(folder)
    first = (folder / "events.jsonl").read_text()
    assert not (folder / "explanations.jsonl").exists()
    assert [json.loads(line)["explanation"]["id"] for line in first.splitlines()] == [e.id for e in EVENTS]
    files.append(folder / "explanations.jsonl", result(EVENTS[3], "late"))  # a crash before the file was removed
    files.merge(folder)
    assert (folder / "events.jsonl").read_text() == first


def test_what_is_no_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing, match="not an output folder"):
        files.load(tmp_path)
    with pytest.raises(UsageError, match="none in it"):
        files.find_folders(tmp_path)


def test_an_edited_line_is_named(folder: Path) -> None:
    text = (folder / "events.jsonl").read_text()
    (folder / "events.jsonl").write_text("oops\n" + text)
    with pytest.raises(PayloadInvalid, match="line 1"):
        files.load(folder)


# -------------------------------------------------------------------------------------------------- formats


def test_unknown_format_names_the_known(folder: Path) -> None:
    with pytest.raises(UsageError, match="choose from csv"):
        write_formats(folder, ["pdf"])


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "overlay"])
@pytest.mark.parametrize("events", [True, False], ids=["events", "no-events"])
def test_every_format_writes_with_and_without_events(tmp_path: Path, name: str, events: bool) -> None:
    folder = write_folder(tmp_path)
    if not events:
        (folder / "events.jsonl").unlink()
    (path,) = write_formats(folder, [name])
    assert path.stat().st_size > 0 or (name == "srt" and not events)  # captions of nothing are an empty file
    write_formats(folder, [name])  # and again over itself
    assert sorted(p.name for p in folder.iterdir() if p.name.endswith((".bak", ".part"))) == []


def test_a_writer_that_fails_leaves_the_file_before(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from streamfer.reporting import vtt

    (path,) = write_formats(folder, ["vtt"])
    before = path.read_bytes()

    def fails(analysis: files.Analysis, path: Path) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(vtt, "write", fails)
    with pytest.raises(OSError, match="No space"):
        write_formats(folder, ["vtt"])
    assert path.read_bytes() == before and not list(folder.glob(".part-*"))


def test_elan_file_loads_in_pympi(folder: Path) -> None:
    from pympi.Elan import Eaf

    write_formats(folder, ["eaf"])
    document = Eaf(str(folder / "events.eaf"))
    spans = {name: document.get_annotation_data_for_tier(name) for name in document.get_tier_names()}
    assert [(begin, end) for begin, end, _ in spans["P1 micro"]] == [(1000, 1400)]
    assert spans["P1 AUs"][0][2] == "L12"
    assert spans["P1 AUs (2)"][0][2] == "4", "overlapping events go to a second tier"
    assert HOSTILE in spans["P1 explanation"][0][2]
    assert document.get_linked_files()[0]["MEDIA_URL"].startswith("file:///")


def test_marks_sit_on_the_media_when_its_first_frame_comes_late(tmp_path: Path) -> None:
    from pympi.Elan import Eaf

    folder = write_folder(tmp_path, media_offset_s=0.85)
    write_formats(folder, ["eaf"])
    assert Eaf(str(folder / "events.eaf")).get_annotation_data_for_tier("P1 micro")[0][:2] == (1850, 2250)


def test_captions_load_in_webvtt(folder: Path) -> None:
    import webvtt

    write_formats(folder, ["vtt", "srt"])
    cues = webvtt.read(str(folder / "events.vtt")).captions
    assert [(c.start, c.end) for c in cues[:2]] == [("00:00:01.000", "00:00:01.400"), ("00:00:01.300", "00:00:03.000")]
    assert cues[0].text == "P1: micro L12 (0.70), happiness"
    assert len(webvtt.from_srt(str(folder / "events.srt")).captions) == 4


def test_textgrid_loads_and_tiles_the_time(folder: Path) -> None:
    from pympi.Praat import TextGrid

    write_formats(folder, ["textgrid"])
    grid = TextGrid(str(folder / "events.TextGrid"))
    intervals = grid.get_tier("P1 macro").get_all_intervals()
    assert intervals[0][0] == 0 and intervals[-1][1] == pytest.approx(8.0)
    assert all(a[1] == b[0] for a, b in itertools.pairwise(intervals))
    assert [round(p[0], 3) for p in grid.get_tier("P1 apex").get_intervals()] == [1.2, 2.0]


def test_parquet_loads_in_pandas_with_the_types_of_the_csv(folder: Path) -> None:
    write_formats(folder, ["parquet"])
    table, text = pd.read_parquet(folder / "faces.parquet"), files.load(folder).faces
    assert list(table.columns) == list(text.columns) and len(table) == len(text)
    assert table["AU12_r"].dtype == np.float32
    np.testing.assert_allclose(table["AU12_r"], text["AU12_r"], atol=1e-3)


@pytest.mark.parametrize("name", ["parquet", "html"])
def test_a_torn_last_row_is_left_out_and_an_edited_one_is_named(folder: Path, name: str) -> None:
    path = folder / "faces.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:100]) + lines[100][:30])
    write_formats(folder, [name])
    if name == "parquet":
        assert len(pd.read_parquet(folder / "faces.parquet")) == 99
    else:
        assert max(lane.times_s[-1] for lane in gather(path, []).lanes) == float(lines[99].split(",")[2])
    lines[50] = lines[50].replace(lines[50].split(",")[2], "noon", 1)
    path.write_text("".join(lines[:100]))
    with pytest.raises(PayloadInvalid, match=r"faces\.csv.*was it edited"):
        write_formats(folder, [name])


def test_parquet_of_a_long_file_is_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamfer.reporting.parquet._PART_BYTES", 1000)
    monkeypatch.setattr("streamfer.reporting.parquet._GROUP_ROWS", 50)
    write_formats(folder, ["parquet"])
    table, text = pd.read_parquet(folder / "faces.parquet"), read(folder / "faces.csv")
    assert table["frame"].tolist() == text["frame"].tolist() and table["person"].tolist() == text["person"].tolist()
    np.testing.assert_allclose(table["AU12_L_raw"], text["AU12_L_raw"], atol=1e-3)


def test_events_csv_has_a_row_per_event(folder: Path) -> None:
    write_formats(folder, ["csv"])
    table = pd.read_csv(folder / "events.csv")
    assert list(table["annotation"]) == ["L12", "4", "12", "R1"]
    assert table["label"].fillna("").tolist() == ["happiness", "anger", "happiness", ""]


def test_a_spreadsheet_gets_text_and_no_formulas(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    files.append(folder / "explanations.jsonl", dataclasses.replace(
        result(EVENTS[3], ""), cot=ChainOfThought('=HYPERLINK("http://x")', "two\nlines", "-1", "fear")))  # fmt: skip
    write_formats(folder, ["csv"])
    row = pd.read_csv(folder / "events.csv").iloc[-1]
    assert row["observations"].startswith("'=") and row["interpretation"] == "two lines" and row["conclusion"] == "'-1"


def test_signals_are_one_file_for_each_stage(tmp_path: Path) -> None:
    from streamfer.reporting.signals import SignalsFile

    signals = SignalsFile(tmp_path / "signals.parquet")
    for i in range(12_000):
        signals({"stage": "signal", "frame": i, "chin_x": i / 10})
    signals({"stage": "bump", "score": 0.5})
    signals.close()
    assert len(pd.read_parquet(tmp_path / "signals.parquet")) == 12_000
    assert pd.read_parquet(tmp_path / "signals.bump.parquet")["score"].tolist() == [0.5]


# ------------------------------------------------------------------------------------------------------ html


def test_no_character_can_end_the_script_element() -> None:
    text = script_json({"x": HOSTILE + "\u2028<!--"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text)["x"].startswith(HOSTILE)


def test_report_escapes_what_is_not_ours_and_asks_for_nothing(folder: Path) -> None:
    write_formats(folder, ["html"])
    page = (folder / "report.html").read_text()
    assert "<script>document.title" not in page and "<img src=x" not in page
    assert "http://" not in page.replace("http://www.w3.org", "") and "https://" not in page.split('nonce="')[0]
    assert len(list((folder.parent / "assets").glob("plotly-*.min.js"))) == 1


# ----------------------------------------------------------------------------------------------------- curves


def long_table(folder: Path, rows: int, tracks: list[int], **changes: np.ndarray) -> None:
    """Replace faces.csv by `rows` frames at 30 fps of P1's first row, one row for each of `tracks`."""
    table = read(folder / "faces.csv")
    one = table[table["person"] == "P1"].iloc[:1]
    long = pd.concat([one] * rows * len(tracks), ignore_index=True)
    long["frame"] = np.repeat(np.arange(rows), len(tracks))
    long["timestamp"] = long["frame"] / 30
    long["face_id"] = np.tile(tracks, rows)
    for name, values in changes.items():
        long[name] = values
    long.to_csv(folder / "faces.csv", index=False)


def test_a_short_clip_keeps_every_value(folder: Path) -> None:
    table = files.load(folder).faces
    lane = next(lane for lane in gather(folder / "faces.csv", EVENTS).lanes if lane.person == "P2")
    rows = table[table["person"] == "P2"]
    np.testing.assert_allclose(lane.times_s, rows["timestamp"])
    np.testing.assert_allclose(lane.aus["AU12"] * STEP, rows["AU12_r"].clip(0, 5), atol=STEP / 2 + 1e-6)
    assert lane.times_s[0] == pytest.approx(2.0, abs=0.01) and lane.usable == 1.0
    assert lane.seen_s == pytest.approx((200 - 61) / 30, abs=0.01)


def test_hours_stay_small_and_keep_their_peaks(folder: Path) -> None:
    values = np.zeros(6000)
    values[3123] = 4.9
    long_table(folder, 6000, [1], AU12_r=values)
    (lane,) = gather(folder / "faces.csv", [], bins=300).lanes
    assert len(lane.times_s) <= 2 * 300
    peak = lane.aus["AU12"].argmax()
    assert lane.aus["AU12"][peak] * STEP == pytest.approx(4.9)
    assert lane.times_s[peak] == pytest.approx(3123 / 30, abs=200 / 300)


def test_two_unknown_faces_are_never_one_line(folder: Path) -> None:
    """Both are in every frame; a line through both would jump between 1 and 4."""
    long_table(folder, 100, [5, 9], person="", AU12_r=np.tile([1.0, 4.0], 100))
    (lane,) = gather(folder / "faces.csv", []).lanes
    line = lane.aus["AU12"]
    assert lane.person == "" and set(line.tolist()) == {50, 200, NONE}
    assert not [pair for pair in itertools.pairwise(line.tolist()) if set(pair) == {50, 200}]


def test_what_cannot_be_measured_is_not_drawn(folder: Path) -> None:
    long_table(folder, 100, [1], usable=np.repeat([1, 0], 50), AU12_r=np.repeat([2.0, 5.0], 50))
    (lane,) = gather(folder / "faces.csv", []).lanes
    assert lane.usable == 0.5 and set(lane.aus["AU12"].tolist()) == {100, NONE}


def test_a_lane_is_broken_while_its_person_was_away(folder: Path) -> None:
    long_table(folder, 100, [1])
    table = read(folder / "faces.csv")
    table.drop(index=range(40, 70)).to_csv(folder / "faces.csv", index=False)
    (lane,) = gather(folder / "faces.csv", []).lanes
    assert lane.times_s[lane.aus["AU12"] == NONE] == pytest.approx([39 / 30])


def test_close_ups_show_the_side_that_moved_and_keep_the_apex(folder: Path) -> None:
    table = files.load(folder).faces
    close = gather(folder / "faces.csv", EVENTS).close_ups[EVENTS[0].id]
    assert list(close.aus) == ["L12"]
    assert (close.times_s[0], close.times_s[-1]) == pytest.approx((0.0, 2.4 - 1 / 30), abs=0.034)
    rows = table[(table["face_id"] == 1) & table["timestamp"].isin(close.times_s)]
    np.testing.assert_allclose(close.aus["L12"] * STEP, rows["AU12_L_r"].clip(0, 5), atol=STEP / 2 + 1e-6)


def test_a_close_up_over_two_parts_of_a_long_file_is_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = gather(folder / "faces.csv", EVENTS)
    monkeypatch.setattr("streamfer.reporting.rows.BLOCK_ROWS", 17)
    parts = gather(folder / "faces.csv", EVENTS)
    assert parts.end_s == whole.end_s and parts.close_ups.keys() == whole.close_ups.keys()
    for one, other in zip(whole.lanes, parts.lanes, strict=True):
        np.testing.assert_array_equal(one.times_s, other.times_s)
        np.testing.assert_array_equal(one.aus["AU12"], other.aus["AU12"])
    for name, close in whole.close_ups.items():
        np.testing.assert_array_equal(close.times_s, parts.close_ups[name].times_s)
        for au, values in close.aus.items():
            np.testing.assert_array_equal(values, parts.close_ups[name].aus[au])


@pytest.mark.parametrize("left", ["", "frame,face_id\n", "header and one torn row"])
def test_no_rows_give_no_curves(folder: Path, left: str) -> None:
    path = folder / "faces.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + lines[1][:40] if left.startswith("header and") else left)
    assert gather(path, EVENTS).lanes == []
    path.unlink()
    assert gather(path, EVENTS).lanes == []
    write_formats(folder, ["html"])


# ------------------------------------------------------------------------------------------------------ facts


def test_the_page_says_that_a_run_is_not_whole_and_that_two_names_are_one_person(folder: Path) -> None:
    analysis = files.load(folder)
    assert remarks(analysis) == [f"a warning {HOSTILE}"]
    analysis.run.update(status="running", merges=[{"person": "P2", "into": "P1", "time_s": 3.0, "distance": 0.3}])
    assert "still going" in remarks(analysis)[0] and remarks(analysis)[1].startswith("P2 and P1 look like one person")


def test_facts_tell_what_was_left_out_and_with_what(folder: Path) -> None:
    told = dict(facts(files.load(folder)))
    assert told["Left out"] == "2 damaged" and told["Events"] == "2 micro, 2 macro"
    assert "30 frames per second" in told["Picture"] and told["Frames"] == "240 analysed"
    assert "done" in told["Status"] and "CPUExecutionProvider" in told["AU model"]
    bare = files.Analysis(folder, [], {})
    assert dict(facts(bare))["Status"] == "?, exit code None", "a run.json of another version still opens"
