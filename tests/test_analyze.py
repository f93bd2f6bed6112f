"""The whole program on real files: output folder, bad input with its sentence and exit code, interruption and resume."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

import streamfer
from benchmarks._clips import repeat
from streamfer.cli import main
from streamfer.errors import OutputMismatch
from tests.programs import MAKERS, face_clip, run_cli

SAMPLE = Path(__file__).parents[1] / "samples/portrait.mp4"
FAST = ("--backend", "none", "--to", "csv", "--quiet")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds of a face."""
    return face_clip(tmp_path_factory.mktemp("clip") / "portrait.mp4", seconds=6.0)


@pytest.fixture(scope="module")
def analysed(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("analysed")
    code, _, errors = run_cli("analyze", clip, "-o", out, "--quiet")
    assert code == 0, errors
    return out / "portrait"


# ------------------------------------------------------------------------------------------------- it works


def test_every_frame_has_its_row_and_one_person(analysed: Path) -> None:
    table = pd.read_csv(analysed / "faces.csv")
    assert list(table["frame"]) == list(range(180))
    assert table["success"].eq(1).all()
    assert set(table["person"]) == {"P1"} and set(table["face_id"]) == {1}
    assert table["timestamp"].to_numpy() == pytest.approx([i / 30 for i in range(180)], abs=1e-5)


def test_the_folder_is_whole(analysed: Path) -> None:
    run = json.loads((analysed / "run.json").read_text())
    assert (run["status"], run["exit_code"], run["counts"]["decoded"]) == ("done", 0, 180)
    assert run["people"] == ["P1"] and run["ended"] and run["au_model"]["sha256"]
    for name in ("events.csv", "events.eaf", "events.vtt", "report.html"):
        assert (analysed / name).exists(), name
    assert not (analysed / "explanations.jsonl").exists() and not (analysed / "people.json").exists()
    for event in streamfer.load(analysed).explained:
        assert event.result is not None and event.result.cot is not None
        assert (analysed / "keyframes" / f"{event.event.id}_apex.jpg").stat().st_size > 500


def test_the_same_clip_gives_the_same_bytes(clip: Path, analysed: Path, tmp_path: Path) -> None:
    assert run_cli("analyze", clip, "-o", tmp_path, *FAST)[0] == 0
    assert (tmp_path / "portrait/faces.csv").read_bytes() == (analysed / "faces.csv").read_bytes()
    first, again = streamfer.load(analysed).events, streamfer.load(tmp_path / "portrait").events
    assert first == again


def test_stdout_has_only_events(tmp_path: Path) -> None:
    code, out, _ = run_cli("analyze", SAMPLE, "--end", "6.5", "-o", tmp_path, *FAST)
    assert code == 0
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["id"] for line in lines] == [e.id for e in streamfer.load(tmp_path / "portrait").events] != []


def test_python_gives_the_analysis_and_a_second_call_loads_it(clip: Path, tmp_path: Path) -> None:
    options = {"explain.backend": "none", "output.formats": ["csv"]}
    analysis = streamfer.analyze(clip, tmp_path, options=options)
    assert len(analysis.faces) == 180
    started = time.monotonic()
    assert streamfer.analyze(clip, tmp_path, options=options).events == analysis.events
    assert time.monotonic() - started < 3
    with pytest.raises(OutputMismatch, match="another configuration"):
        streamfer.analyze(clip, tmp_path, options={**options, "faces.max_faces": 1})


def test_signals_are_written(clip: Path, tmp_path: Path) -> None:
    assert run_cli("analyze", clip, "-o", tmp_path, *FAST, "--signals", "auto")[0] == 0
    assert len(pd.read_parquet(tmp_path / "portrait/signals.parquet")) == 180


def test_overlay_has_the_frames_of_the_source(analysed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from streamfer.video import open_video

    code, out, _ = run_cli("export", analysed, "--to", "overlay")
    assert code == 0 and out.strip().endswith("overlay.mp4")
    with open_video(analysed / "overlay.mp4") as video:
        assert sum(1 for _ in video) == 180


def test_a_folder_of_frames_is_analysed(tmp_path: Path) -> None:
    folder = MAKERS["face frames"](tmp_path / "frames")
    code, _, errors = run_cli("analyze", folder, "--fps", "25", "-o", tmp_path / "out", *FAST)
    assert code == 0, errors
    table = pd.read_csv(tmp_path / "out/frames/faces.csv")
    assert len(table) == 20 and table["timestamp"].iloc[-1] == pytest.approx(19 / 25)


def test_a_clip_without_a_face_has_rows_with_success_0(tmp_path: Path) -> None:
    path = MAKERS["no face"](tmp_path / "empty.mp4")
    code, _, errors = run_cli("analyze", path, "-o", tmp_path / "out", "--quiet")
    assert code == 0, errors
    table = pd.read_csv(tmp_path / "out/empty/faces.csv")
    assert len(table) == 45 and table["success"].eq(0).all()
    assert (tmp_path / "out/empty/report.html").exists()


def test_one_bad_source_does_not_stop_the_others(clip: Path, tmp_path: Path) -> None:
    bad = MAKERS["random bytes"](tmp_path / "bad.mp4")
    code, _, errors = run_cli("analyze", bad, clip, "-o", tmp_path / "out", *FAST)
    assert code == 3 and "bad.mp4" in errors
    assert json.loads((tmp_path / "out/portrait/run.json").read_text())["status"] == "done"


def test_two_sources_of_one_name_get_two_folders(tmp_path: Path) -> None:
    paths = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        paths.append(MAKERS["no face"](tmp_path / name / "x.mp4"))
    assert run_cli("analyze", *paths, "-o", tmp_path / "out", *FAST)[0] == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a_x", "b_x"]


def test_the_sample_clip_gives_what_was_planted(tmp_path: Path) -> None:
    """Each planted movement is found with its kind, its apex and its AU and side, and nothing else is found.

    The apex of a brief movement is exact; that of an expression that is held may lie anywhere on the plateau or its rise.
    """
    assert run_cli("analyze", SAMPLE, "-o", tmp_path, "--to", "csv", "--quiet")[0] == 0
    truth = json.loads(SAMPLE.with_suffix(".json").read_text())["events"]
    found = streamfer.load(tmp_path / "portrait").explained
    assert len(found) == len(truth)
    for planted, got in zip(truth, found, strict=True):
        assert got.event.kind == planted["kind"]
        assert abs(got.event.apex.frame - planted["apex"]["frame"]) <= (3 if planted["kind"] == "micro" else 12)
        strong = {(c.au, c.side) for c in got.event.aus if c.delta >= 0.5}
        assert (planted["aus"][0]["au"], planted["aus"][0]["side"]) in strong
        assert got.result is not None and got.result.verified


# ------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("kind", "name", "code", "says"),
    [
        pytest.param("missing", "x.mp4", 3, "no such file", id="missing-file"),
        pytest.param("empty", "x.mp4", 3, "empty", id="empty-file"),
        pytest.param("random bytes", "x.mp4", 3, "x.mp4", id="random-bytes"),
        pytest.param("audio only", "x.m4a", 3, "no video", id="audio-only"),
        pytest.param("empty folder", "x", 3, "no videos and no pictures", id="folder-without-frames"),
        pytest.param("frames", "x", 2, "--fps", id="frames-without-a-rate"),
        pytest.param("cut off", "x.mp4", 4, "kept", id="truncated-mp4"),
    ],
)
def test_bad_sources_give_one_sentence_and_their_exit_code(
    tmp_path: Path, kind: str, name: str, code: int, says: str
) -> None:
    path = MAKERS[kind](tmp_path / name)
    got, _, errors = run_cli("analyze", path, "-o", tmp_path / "out", *FAST)
    assert got == code
    assert says in errors and name in errors
    assert "Traceback" not in errors


def test_a_damaged_source_stays_damaged_when_resumed(tmp_path: Path) -> None:
    path = MAKERS["cut off"](tmp_path / "x.mp4")
    codes = [run_cli("analyze", path, "-o", tmp_path / "out", "--resume", *FAST)[0] for _ in range(2)]
    run = json.loads((tmp_path / "out/x/run.json").read_text())
    assert (codes, run["exit_code"], run["status"]) == ([4, 4], 4, "damaged")


@pytest.mark.parametrize("kind", ["one frame", "16 bit grey", "odd size", "four hours"])
def test_odd_but_good_sources_are_analysed(tmp_path: Path, kind: str) -> None:
    path = MAKERS[kind](tmp_path / "x.mkv")
    code, _, errors = run_cli("analyze", path, "-o", tmp_path / "out", "--quiet")
    assert code == 0, errors
    table = pd.read_csv(tmp_path / "out/x/faces.csv")
    assert len(table) >= 1 and table["timestamp"].iloc[0] == 0


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        pytest.param(["--set", "faces.max_face=2"], 2, "did you mean 'faces.max_faces'", id="unknown-option"),
        pytest.param(["--to", "pdf"], 2, "unknown format 'pdf'", id="unknown-format"),
        pytest.param(["--resume", "--overwrite"], 2, "give one of them", id="resume-and-overwrite"),
        pytest.param(["--neutral", "P1"], 2, "PERSON=START-END", id="neutral-unreadable"),
        pytest.param(["--au-model", "no.onnx"], 5, "no.onnx", id="model-missing"),
        pytest.param(["--device", "cuda"], 5, "cuda", id="cuda-missing"),
        pytest.param(["--enqueue"], 2, "needs --redis", id="enqueue-nowhere"),
    ],
)
def test_bad_options_give_one_sentence_and_their_exit_code(
    clip: Path, tmp_path: Path, options: list[str], code: int, says: str
) -> None:
    got, _, errors = run_cli("analyze", clip, "-o", tmp_path, "--quiet", *options)
    assert (got, says in errors, "Traceback" in errors) == (code, True, False), errors
    assert not list(tmp_path.iterdir())


def test_results_are_not_overwritten_by_accident(clip: Path, tmp_path: Path) -> None:
    short = ("--end", "0.5", "-o", tmp_path, *FAST)
    assert run_cli("analyze", clip, *short)[0] == 0
    code, _, errors = run_cli("analyze", clip, *short)
    assert code == 2 and "--resume" in errors and "--overwrite" in errors
    assert run_cli("analyze", clip, *short, "--overwrite")[0] == 0
    assert run_cli("analyze", clip, *short, "--resume")[0] == 0
    code, _, errors = run_cli("analyze", clip, *short, "--resume", "--max-faces", "2")
    assert code == 2 and "another configuration" in errors


def test_a_folder_that_is_not_ours_is_left_alone(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "portrait").mkdir()
    (tmp_path / "portrait/thesis.txt").write_text("mine")
    code, _, errors = run_cli("analyze", clip, "-o", tmp_path, *FAST, "--overwrite")
    assert code == 2 and "nothing is deleted" in errors
    assert (tmp_path / "portrait/thesis.txt").read_text() == "mine"


def test_no_server_leaves_the_events_on_disk_and_explain_finishes(tmp_path: Path) -> None:
    code, _, errors = run_cli(
        "analyze", SAMPLE, "--end", "6.5", "-o", tmp_path, "--redis", "redis://:secret@127.0.0.1:1/0", "--quiet"
    )
    events = streamfer.load(tmp_path / "portrait").events
    assert events, "the clip has no event: it tests nothing"
    assert code == 6 and "streamfer explain" in errors
    assert "secret" not in errors + (tmp_path / "portrait/run.json").read_text()
    code, _, errors = run_cli("explain", tmp_path / "portrait")
    assert code == 0, errors
    assert streamfer.load(tmp_path / "portrait").unexplained() == []


def test_a_full_disk_keeps_what_was_written(clip: Path, tmp_path: Path) -> None:
    """A real one: a tmpfs of 200 kB."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    mount = tmp_path / "small"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(mount)], capture_output=True).returncode:
        pytest.skip("this machine does not let root mount a tmpfs")
    try:
        code, _, errors = run_cli("analyze", clip, "-o", mount, *FAST, "--set", "output.landmarks=true")
        assert code == 1 and "disk is full" in errors and "Traceback" not in errors
        lines = (mount / "portrait/faces.csv").read_text().splitlines()
        assert len(lines) > 1
    finally:
        subprocess.run(["umount", str(mount)], check=True)


# -------------------------------------------------------------------------------------- interrupt and resume


def start(clip: Path, out: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "streamfer", "analyze", str(clip), "-o", str(out), *FAST, *more]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def wait_for_rows(path: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if path.exists() and path.read_bytes().count(b"\n") > 30:
            return
        time.sleep(0.02)
    pytest.fail(f"no rows were written: {process.stderr.read().decode() if process.stderr else ''}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["SIGINT", "SIGKILL"])
def test_an_interrupted_run_is_valid_and_goes_on(tmp_path: Path, number: signal.Signals) -> None:
    long = face_clip(tmp_path / "long.mp4", seconds=40.0)
    out = tmp_path / "out"
    process = start(long, out)
    wait_for_rows(out / "long/faces.csv", process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGINT else -9), errors.decode()
    assert json.loads((out / "long/run.json").read_text())["status"] == {2: "interrupted", 9: "running"}[number]
    before = len(streamfer.load(out / "long").faces)
    assert 30 < before < 1200
    assert run_cli("analyze", long, "-o", out, *FAST, "--resume")[0] == 0
    table = pd.read_csv(out / "long/faces.csv")
    assert list(table["frame"]) == list(range(1200))
    assert set(table["person"]) == {"P1"} and set(table["face_id"]) == {1}
    events = streamfer.load(out / "long").events
    assert len({e.id for e in events}) == len(events)


def test_resume_gives_what_one_run_gives(tmp_path: Path) -> None:
    """Cut a finished folder back as a kill would leave it, and compare. The sample three times over: 15 planted events,
    and a cut at each seam, over which the person must keep the name."""
    long = tmp_path / "long.mp4"
    repeat(SAMPLE, long, 3)
    assert run_cli("analyze", long, "-o", tmp_path / "whole", *FAST)[0] == 0
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    folder = tmp_path / "cut/long"
    run = json.loads((folder / "run.json").read_text()) | {"status": "running"}
    (folder / "run.json").write_text(json.dumps(run))
    lines = (folder / "faces.csv").read_bytes().splitlines(keepends=True)
    (folder / "faces.csv").write_bytes(b"".join(lines[:1000]) + lines[1000][:50])
    events = (folder / "events.jsonl").read_text().splitlines()
    kept = [line for line in events if json.loads(line)["offset"]["frame"] < 900]
    assert 3 <= len(kept) < len(events)
    (folder / "events.jsonl").write_text("".join(line + "\n" for line in kept))
    assert run_cli("analyze", long, "-o", tmp_path / "cut", *FAST, "--resume")[0] == 0
    whole, cut = pd.read_csv(tmp_path / "whole/long/faces.csv"), pd.read_csv(folder / "faces.csv")
    assert list(cut["frame"]) == list(whole["frame"])
    assert set(cut["person"]) == set(whole["person"]) == {"P1"}
    units = [c for c in whole if c.endswith("_r")]
    # the landmark network looks at a crop that depends on the frames before, so single frames differ a little
    assert (whole[units] - cut[units]).abs().stack().quantile(0.99) < 0.3
    micro = lambda root: [e.apex.frame for e in streamfer.load(root).events if e.kind == "micro"]  # noqa: E731
    assert micro(folder) == pytest.approx(micro(tmp_path / "whole/long"), abs=2)
    assert len(micro(folder)) >= 9


def test_help_is_fast_and_imports_nothing_heavy() -> None:
    code = (
        "import sys, streamfer, streamfer.cli; "
        "print([m for m in ('numpy', 'av', 'cv2', 'mediapipe', 'pandas', 'torch') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_exported_names_are_there() -> None:
    assert all(hasattr(streamfer, name) for name in streamfer.__all__)
    assert set(streamfer._WHERE) | {"__version__"} == set(streamfer.__all__)


def test_the_entry_point_is_main() -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
