"""A data set at once: the same files from every engine, failing clips, killed processes, interruption, tables."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import pytest

from streamfer import datasets
from streamfer.batch import ClipEnd, ClipJob, processes, run_dataset
from streamfer.batch.clip import ClipRunner
from streamfer.batch.run import exit_code
from streamfer.config import Config, load
from streamfer.datasets.records import Clip, Dataset
from streamfer.errors import ModelMissing, NoVideo, UsageError
from streamfer.jobs.connection import connect
from streamfer.jobs.embedded import EmbeddedServer
from streamfer.jobs.queue import Queue
from streamfer.records import VideoResult, to_json
from streamfer.video import open_video
from tests.programs import run_cli

SAMPLE = Path(__file__).parents[1] / "samples/portrait.mp4"
FPS = 30.0
RUN_FACTS = {"command", "started", "ended", "timings_s", "peak_memory_mb"}
"""What run.json says about the run and not about the clip; docs/batch.md lists the same."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Two subjects: a clip with a planted micro-expression, a short one, one that cannot be read, one half broken."""
    root = tmp_path_factory.mktemp("data")
    with open_video(SAMPLE) as source:
        images = [frame.image[..., ::-1] for frame, _ in zip(source, range(110), strict=False)]
    for name, count in {"sub01/EP01": 110, "sub01/EP02": 25, "sub02/EP01": 12, "sub02/EP02": 24}.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            cv2.imwrite(str(root / name / f"img{number + 46}.jpg"), images[number])
    for file in (root / "sub02/EP01").iterdir():
        file.write_bytes(b"no picture")
    for number in range(50, 66):
        (root / f"sub02/EP02/img{number}.jpg").write_bytes(b"no picture")
    clips = [Clip("planted", path.parent.name, f"{path.parent.name}_{path.name}", path, FPS)
             for path in sorted(root.glob("sub*/EP*"))]  # fmt: skip
    return Dataset("planted", root, tuple(clips))


def config(out: Path, **more: Any) -> Config:
    options = {"explain.backend": "none", "output.formats": ["csv"], "output.folder": str(out)}
    return load(None, {**options, **{key.replace("__", "."): value for key, value in more.items()}}, environ={})[0]


@pytest.fixture(scope="module")
def one(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set by a single process."""
    out = tmp_path_factory.mktemp("one")
    ends = run_dataset(data, config(out), processes=1, command="one")
    assert [end.exit_code for end in ends] == [0, 0, 3, 4]
    return out


def files(out: Path) -> dict[str, Any]:
    """Every file's bytes, but of run.json what is not a fact of the run, and of dataset.csv what is not a time."""
    found: dict[str, Any] = {}
    for path in sorted(p for p in out.rglob("*") if p.is_file()):
        name, content = str(path.relative_to(out)), path.read_bytes()
        if path.name == "run.json":
            run = {key: value for key, value in json.loads(content).items() if key not in RUN_FACTS}
            run["config"]["output"].pop("folder")
            run["config"].pop("queue")
            found[name] = run
        elif path.name == "dataset.csv":
            found[name] = [row[:-1] for row in csv.reader(content.decode().splitlines())]
        else:
            found[name] = content
    return found


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_one_folder_per_clip_and_two_tables(one: Path, data: Dataset) -> None:
    assert sorted(p.name for p in one.iterdir()) == [
        "dataset.csv", "events.csv", "sub01_EP01", "sub01_EP02", "sub02_EP02",
    ]  # fmt: skip
    rows = table(one / "dataset.csv")
    assert [(r["subject"], r["clip"], r["frames"], r["exit"]) for r in rows] == [
        ("sub01", "sub01_EP01", "110", "0"), ("sub01", "sub01_EP02", "25", "0"),
        ("sub02", "sub02_EP01", "0", "3"), ("sub02", "sub02_EP02", "8", "4"),
    ]  # fmt: skip
    assert "none of the first pictures can be read" in rows[2]["error"] and "16 of 24" in rows[3]["error"]
    assert rows[0]["error"] == "" and float(rows[0]["seconds"]) > 0
    events = table(one / "events.csv")
    planted = json.loads(SAMPLE.with_suffix(".json").read_text())["events"][0]
    assert [(e["subject"], e["clip"], e["kind"]) for e in events] == [("sub01", "sub01_EP01", "micro")]
    assert abs(int(events[0]["apex_frame"]) - planted["apex"]["frame"]) <= 3
    assert rows[0]["micro"] == "1" and rows[1]["micro"] == "0"


def test_a_clip_is_what_analyze_makes_of_it(one: Path, data: Dataset, tmp_path: Path) -> None:
    path = data.clips[0].path
    assert run_cli("analyze", path, "--fps", FPS, "-o", tmp_path, "--backend", "none", "--to", "csv", "--quiet")[0] == 0
    for name in ("faces.csv", "events.jsonl", "events.csv"):
        assert (tmp_path / path.name / name).read_bytes() == (one / "sub01_EP01" / name).read_bytes()


def test_two_processes_give_the_same_files(one: Path, data: Dataset, tmp_path: Path) -> None:
    ends = run_dataset(data, config(tmp_path), processes=2, command="two")
    assert files(tmp_path) == files(one)
    assert [end.job.name for end in ends] == [clip.name for clip in data.clips]


def test_ray_gives_the_same_files(one: Path, data: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'streamfer[ray]'")
    script = tmp_path / "program.py"  # a program of its own: Ray leaves threads and handlers in the one that calls it
    clips = [(clip.subject, clip.name, str(clip.path)) for clip in data.clips]
    script.write_text(
        "from pathlib import Path\nfrom streamfer.batch import run_dataset\nfrom streamfer.config import load\n"
        "from streamfer.datasets.records import Clip, Dataset\n"
        f"clips = tuple(Clip('planted', s, n, Path(p), {FPS}) for s, n, p in {clips!r})\n"
        "options = {'explain.backend': 'none', 'output.formats': ['csv']}\n"
        f"config, _ = load(None, {{**options, 'output.folder': {str(tmp_path / 'out')!r}}})\n"
        f"ends = run_dataset(Dataset('planted', Path({str(data.root)!r}), clips), config, engine='ray', processes=2,\n"
        "                   address='local', command='ray')\n"
        "print([end.exit_code for end in ends])\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=100, cwd=Path(__file__).parents[1])
    assert done.stdout.splitlines()[-1:] == ["[0, 0, 3, 4]"], done.stderr[-2000:]
    assert files(tmp_path / "out") == files(one)


def test_redis_workers_give_the_same_files(one: Path, data: Dataset, tmp_path: Path) -> None:
    with EmbeddedServer() as server:
        worker = subprocess.Popen([sys.executable, "-m", "workers.screen", "--redis", server.url],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        try:
            options = config(tmp_path, queue__url=server.url)
            ends = run_dataset(data, options, engine="redis")
            again = run_dataset(data, options, engine="redis", what="resume")
        finally:
            worker.terminate()
            assert worker.wait(20) == 0
    assert [end.exit_code for end in ends] == [0, 0, 3, 4]
    assert [(end.exit_code, end.skipped) for end in again] == [(0, True), (0, True), (3, False), (4, True)]
    assert files(tmp_path) == files(one)


def test_clips_that_the_server_lost_are_handed_in_again(data: Dataset, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("streamfer.batch.over_redis.LOST_AFTER_S", 0.3)
    ran: list[str] = []
    with EmbeddedServer() as server, ThreadPoolExecutor(1) as other:
        queue = Queue(connect(server.url), topic="video")

        def wait_for(count: int) -> None:
            deadline = time.monotonic() + 10
            while queue.status().waiting < count and time.monotonic() < deadline:
                time.sleep(0.01)

        def lose_and_work() -> None:
            wait_for(4)
            queue.client.flushall()  # as a server that comes back without its data
            wait_for(4)
            for claimed in queue.get("w", 9):
                ran.append(claimed.id)
                queue.finish(claimed.entry, claimed.id, to_json(VideoResult(claimed.id, 4, "none", {}, 0.1, "w")))

        working = other.submit(lose_and_work)
        ends = run_dataset(data, config(tmp_path, queue__url=server.url), engine="redis")
        working.result()
    assert len(set(ran)) == len(ran) == 4
    assert [(end.exit_code, end.message) for end in ends] == [(4, "none")] * 4


@pytest.fixture
def copy(one: Path, tmp_path: Path) -> Path:
    shutil.copytree(one, tmp_path / "out")
    return tmp_path / "out"


def test_a_finished_clip_is_not_done_again(copy: Path, data: Dataset) -> None:
    shutil.rmtree(copy / "sub01_EP02")
    before = {path: path.stat().st_mtime_ns for path in (copy / "sub01_EP01").rglob("*")}
    ends = run_dataset(data, config(copy), processes=1, what="resume", command="one")
    assert [(end.job.name, end.skipped) for end in ends] == [
        ("sub01_EP01", True), ("sub01_EP02", False), ("sub02_EP01", False), ("sub02_EP02", True),
    ]  # fmt: skip
    assert {path: path.stat().st_mtime_ns for path in (copy / "sub01_EP01").rglob("*")} == before
    assert [end.exit_code for end in ends] == [0, 0, 3, 4] and "16 of 24" in ends[3].message


@pytest.mark.parametrize("lines", [0, 0.5, 1, 2], ids=["nothing", "half-a-header", "header", "one-row"])
def test_a_run_killed_at_its_first_frames_is_gone_on_with(copy: Path, one: Path, data: Dataset, lines: float) -> None:
    folder = copy / "sub01_EP02"
    run = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**run, "status": "running", "exit_code": None}))
    rows = (folder / "faces.csv").read_text().splitlines(keepends=True)
    (folder / "faces.csv").write_text(rows[0][:40] if lines == 0.5 else "".join(rows[: int(lines)]))
    with ClipRunner(config(copy), "resume", "") as runner:
        end = runner.run(ClipJob.of(data.clips[1]))
    assert (end.exit_code, end.message) == (0, "")
    assert (folder / "faces.csv").read_bytes() == (one / "sub01_EP02/faces.csv").read_bytes()


def test_results_that_are_there_are_not_touched_unasked(copy: Path, data: Dataset) -> None:
    with pytest.raises(UsageError, match=r"3 of 4 clips already: --resume"):
        run_dataset(data, config(copy))


def test_other_options_do_not_pass_for_finished(copy: Path, data: Dataset) -> None:
    ends = run_dataset(data, config(copy, faces__max_faces=1), processes=1, what="resume")
    assert [end.exit_code for end in ends] == [2, 2, 3, 2] and "another configuration" in ends[0].message


def test_a_killed_process_costs_its_clip_only(data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began: list[processes._Process] = []
    start = processes._Process.__init__
    monkeypatch.setattr(processes._Process, "__init__", lambda self, *a: (began.append(self), start(self, *a))[1])
    order = Dataset("planted", data.root, (data.clips[2], data.clips[0], data.clips[1]))

    def kill(end: ClipEnd) -> None:  # the unreadable clip has ended, the long one is in hand
        if end.job.name == "sub02_EP01":
            began[0]._process.kill()

    ends = run_dataset(order, config(tmp_path), processes=1, ended=kill)
    assert [end.exit_code for end in ends] == [3, 1, 0] and len(began) == 2
    assert "killed by SIGKILL" in ends[1].message
    assert all(worker._process.poll() is not None for worker in began)


def test_ctrl_c_and_resume(data: Dataset, one: Path, tmp_path: Path) -> None:
    def interrupt(end: ClipEnd) -> None:
        if end.job.name == "sub01_EP02":
            os.kill(os.getpid(), signal.SIGINT)

    some = Dataset("planted", data.root, (data.clips[1], data.clips[0], data.clips[3]))
    ends = run_dataset(some, config(tmp_path), processes=1, ended=interrupt)
    assert [end.exit_code for end in ends] == [0, 130]
    assert exit_code(ends, 3) == 130
    rows = table(tmp_path / "dataset.csv")
    assert [(row["exit"], row["error"]) for row in rows][2] == ("", "not reached")
    run_dataset(data, config(tmp_path), processes=1, what="resume", command="one")
    resumed, whole = files(tmp_path), files(one)
    for name in ("sub01_EP01/run.json", "dataset.csv"):  # run.json says where it was resumed from
        resumed.pop(name), whole.pop(name)
    assert resumed == whole


def test_a_process_gets_its_share_of_the_cores(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, str]] = []

    class Stopped(Exception):
        pass

    def popen(*_: Any, env: dict[str, str], **__: Any) -> None:
        seen.append(env)
        raise Stopped

    monkeypatch.setattr(processes, "usable_cores", lambda: 8)
    monkeypatch.setattr(subprocess, "Popen", popen)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    jobs = [ClipJob.of(clip) for clip in data.clips]
    with pytest.raises(Stopped):
        next(iter(processes.over_processes(jobs, Config(), what="new", processes=3, command="")))
    assert seen[0]["STREAMFER_CORES"] == seen[0]["OMP_NUM_THREADS"] == "2"


def test_usable_cores_are_at_most_the_share(monkeypatch: pytest.MonkeyPatch) -> None:
    from streamfer.video.source import usable_cores

    whole = usable_cores()
    monkeypatch.setenv("STREAMFER_CORES", "1")
    assert usable_cores() == 1
    monkeypatch.setenv("STREAMFER_CORES", "4096")
    assert usable_cores() == whole


def test_a_name_of_ones_own_is_for_one_source(data: Dataset, tmp_path: Path) -> None:
    paths = [data.clips[1].path, data.clips[2].path]
    options = ("--fps", FPS, "-o", tmp_path, "--backend", "none", "--to", "csv", "--quiet", "--set", "output.name=mine")
    code, _, errors = run_cli("analyze", *paths, *options)
    assert code == 2 and "output.name gives one folder to 2 sources" in errors
    assert run_cli("analyze", paths[0], *options)[0] == 0 and (tmp_path / "mine/run.json").exists()


def _end(code: int, fatal: bool = False) -> ClipEnd:
    return ClipEnd(ClipJob("s", "c", "/p", 25.0), code, fatal=fatal)


@pytest.mark.parametrize(
    ("ends", "clips", "code"),
    [
        pytest.param([_end(0), _end(0)], 2, 0, id="all-done"),
        pytest.param([_end(0), _end(4), _end(3)], 3, 4, id="first-failure"),
        pytest.param([_end(7), _end(130)], 2, 130, id="interrupted"),
        pytest.param([_end(0)], 2, 130, id="not-all-reached"),
        pytest.param([_end(1, fatal=True)], 2, 1, id="disk-full"),
    ],
)
def test_exit_code(ends: list[ClipEnd], clips: int, code: int) -> None:
    assert exit_code(ends, clips) == code


def _twice(data: Dataset) -> Dataset:
    return Dataset(data.name, data.root, (data.clips[0], data.clips[0]))


@pytest.mark.parametrize(
    ("change", "options", "error", "words"),
    [
        pytest.param(lambda d: Dataset(d.name, d.root, ()), {}, NoVideo, "no clips of planted", id="empty"),
        pytest.param(_twice, {}, UsageError, "share a name, such as sub01_EP01", id="one-name"),
        pytest.param(lambda d: d, {"output__signals": "all.parquet"}, UsageError, "signals auto", id="one-signals-file"),
        pytest.param(lambda d: d, {"action_units__model": "none.onnx"}, ModelMissing, "none.onnx", id="no-model"),
        pytest.param(lambda d: d, {"output__formats": ["doc"]}, UsageError, "unknown format 'doc'", id="format"),
    ],
)
def test_what_concerns_all_clips_is_told_once(
    data: Dataset, tmp_path: Path, change: Callable[[Dataset], Dataset], options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        run_dataset(change(data), config(tmp_path, **options))
    assert list(tmp_path.iterdir()) == []


def test_the_command(data: Dataset, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "load", lambda name, path: data if (name, path) == ("planted", data.root) else None,
                        raising=False)  # fmt: skip
    options = ("--backend", "none", "--to", "csv", "--resume", "--processes", "1")
    code, out, errors = run_cli("analyze", "--dataset", "planted", data.root, "-o", copy, *options)
    assert code == 3 and out.split() == [str(copy / "dataset.csv"), str(copy / "events.csv")]
    assert "2 of 4 clips done" in errors and "sub02_EP01: code 3" in errors


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--dataset", "planted", "a", "b"), "the one folder that holds it"),
        (("--dataset", "planted", "a", "--fps", "25"), "--fps"),
        (("--dataset", "planted", "a", "--address", "local"), "--engine ray"),
        (("--dataset", "planted", "a", "--engine", "redis", "--processes", "2"), "as many workers"),
        (("a", "--processes", "2"), "--dataset NAME"),
    ],
)
def test_options_that_do_not_go_together(arguments: tuple[str, ...], words: str) -> None:
    code, _, errors = run_cli("analyze", *arguments)
    assert code == 2 and words in errors


def test_a_ray_that_does_not_answer_is_said_at_once(data: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'streamfer[ray]'")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, not listening
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(UsageError, match="cannot be reached"):
            run_dataset(data, config(tmp_path), engine="ray", address=address)
