"""The screen worker's rules: what is an answer, what is tried again, what is taken over."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from streamfer.config import Config
from streamfer.errors import OutputError, QueueUnreachable, SourceUnreadable, UsageError
from streamfer.jobs.memory import MemoryQueue
from streamfer.records import VideoJob, VideoResult, from_json, to_json
from workers import screen
from workers.screen import VideoSummary

FINE: VideoSummary = {"exit_code": 0, "message": "", "counts": {"frames": 120, "events": 3}}


def queue_of(*ids: str, **options: Any) -> MemoryQueue:
    queue = MemoryQueue("video", **options)
    for job_id in ids:
        job = VideoJob(job_id, f"/videos/{job_id}.mp4", "/out", {"faces.max_faces": 2})
        assert queue.put(job_id, to_json(job), {}) == "queued"
    return queue


def result(queue: MemoryQueue, job_id: str) -> VideoResult:
    text = queue.find([job_id])[job_id].result
    assert text is not None
    return from_json(VideoResult, text)


def test_a_video_is_analysed_and_its_summary_stored() -> None:
    queue, calls = queue_of("a", "b"), []

    def analyze(path: str, output: str, overrides: dict[str, Any]) -> VideoSummary:
        calls.append((path, output, overrides))
        return FINE

    assert screen.run(Config(), queue, analyze, once=True) == 0
    assert calls[0] == ("/videos/a.mp4", "/out", {"faces.max_faces": 2}) and len(calls) == 2
    answer = result(queue, "b")
    assert (answer.exit_code, answer.counts, answer.message) == (0, {"frames": 120, "events": 3}, "")
    assert answer.took_s >= 0 and answer.worker
    assert queue.status().consumers == ()


@pytest.mark.parametrize("error, code", [(SourceUnreadable("a.mp4 is no video"), 3), (UsageError("no such option"), 2)])
def test_a_file_that_will_not_get_better_is_an_answer(error: Exception, code: int) -> None:
    queue = queue_of("a")

    def analyze(*_: Any) -> VideoSummary:
        raise error

    screen.run(Config(), queue, analyze, once=True)
    assert (result(queue, "a").exit_code, result(queue, "a").message) == (code, str(error))


@pytest.mark.parametrize("error", [OutputError("disk full"), QueueUnreachable("no queue"), ValueError("bug")], ids=str)
def test_what_may_get_better_is_tried_again_and_then_given_up(error: Exception) -> None:
    queue, calls = queue_of("a", max_deliveries=2, lease_s=0.03), []

    def analyze(*_: Any) -> VideoSummary:
        calls.append(1)
        if len(calls) == 2:
            stop.set()
        raise error

    stop = threading.Event()
    screen.run(Config(), queue, analyze, stop=stop)
    assert len(calls) == 2 and str(error) in queue.dead()[0].reason


@pytest.mark.parametrize("how", ["raises", "returns"])
def test_an_interrupted_video_goes_back_untried_and_the_worker_stops(how: str) -> None:
    queue = queue_of("a", "b", lease_s=60.0)

    def analyze(*_: Any) -> VideoSummary:
        if how == "raises":
            raise KeyboardInterrupt
        return {"exit_code": 130, "message": "", "counts": {}}

    assert screen.run(Config(), queue, analyze) == 0
    assert (queue.status().waiting, queue.status().pending, queue.status().results) == (2, 0, 0)
    (back,) = queue.get("next")
    assert (back.id, back.deliveries) == ("a", 1)


def test_a_job_that_cannot_be_read_is_a_dead_letter() -> None:
    queue = queue_of("a")
    next(iter(queue._streams["batch"].values())).payload = '{"id": "a"}'
    screen.run(Config(), queue, lambda *_: FINE, once=True)
    assert "not a valid VideoJob" in queue.dead()[0].reason


def test_the_wired_analysis_takes_the_jobs_options_and_reads_the_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from streamfer import runs

    asked: list[Any] = []

    def analyze_all(paths: list[Path], config: Config, *, what: str, command: str) -> list[runs.Outcome]:
        asked.append((paths, config, what))
        folder = tmp_path / "v"
        folder.mkdir(exist_ok=True)
        (folder / "run.json").write_text('{"counts": {"frames": 9, "kept": true, "name": "x"}}')
        return [runs.Outcome(paths[0], folder, 4, "damaged part-way")]

    monkeypatch.setattr(runs, "analyze_all", analyze_all)
    analyze = screen.pipeline_analysis(None, {"faces.max_faces": 1, "faces.people": False})
    summary = analyze("v.mp4", str(tmp_path), {"faces.max_faces": 3})
    assert summary == {"exit_code": 4, "message": "damaged part-way", "counts": {"frames": 9}}
    (paths, config, what) = asked[0]
    assert paths == [Path("v.mp4")] and what == "resume"
    assert (config.faces.max_faces, config.faces.people, config.output.folder) == (3, False, str(tmp_path))
    assert screen._counts(tmp_path / "nothing") == {}
