"""The ExpLLM worker's rules on a MemoryQueue: what it stores, what it gives up, when it stops."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamfer.config import Config, Explain, Queue
from streamfer.errors import ExplainError, ModelMissing, QueueUnreachable
from streamfer.jobs.connection import connect
from streamfer.jobs.images import encode
from streamfer.jobs.memory import MemoryQueue
from streamfer.jobs.worker import Heartbeat, Janitor, connect_patiently, one_line, patiently
from streamfer.records import ChainOfThought, Event, Job, KeyFrame, Moment, Result, from_json, to_json
from workers import expllm

CONFIG = Config(explain=Explain(batch=4, wait_s=0.0))
GREY = encode(np.full((16, 16, 3), 90, np.uint8))


def job(job_id: str) -> Job:
    moment = Moment(3, 0.1)
    event = Event(job_id, "clip", "P1", 1, "micro", moment, moment, moment, 0.1, 0.2, (), (), 0.5)
    return Job(job_id, event, (KeyFrame("apex", 3, 0.1),), time.time())


def put(queue: MemoryQueue, *ids: str, image: bytes = GREY) -> None:
    for job_id in ids:
        assert queue.put(job_id, to_json(job(job_id)), {"apex": image}) == "queued"


class Backend:
    """Answers with its pictures' mean colour; `fail` may raise for some jobs, `before` runs at each call."""

    name = "test"

    def __init__(
        self, fail: Callable[[list[str]], None] = lambda _: None, before: Callable[[], Any] = lambda: None
    ) -> None:
        self.fail, self.before = fail, before
        self.calls: list[list[str]] = []

    def explain(self, jobs: list[Job], images: list[dict[str, np.ndarray]]) -> list[Result]:
        self.calls.append([job.id for job in jobs])
        self.before()
        self.fail([job.id for job in jobs])
        return [
            Result(one.id, ChainOfThought("o", "i", f"{pictures['apex'].mean():.0f}", "neutral"), True, (), "test", "m",
                   "r", "cot_first", 1, 5, 0.01, "")
            for one, pictures in zip(jobs, images, strict=True)
        ]  # fmt: skip


def work(queue: MemoryQueue, backend: Backend, **options: Any) -> int:
    return expllm.run(CONFIG, queue, backend, **{"once": True, **options})


def result(queue: MemoryQueue, job_id: str) -> Result:
    text = queue.find([job_id])[job_id].result
    assert text is not None
    return from_json(Result, text)


def test_jobs_are_explained_in_batches_and_signed_by_the_worker(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    queue, backend = MemoryQueue(), Backend()
    put(queue, *"abcdef")
    assert work(queue, backend) == 0
    assert backend.calls == [["a", "b", "c", "d"], ["e", "f"]]
    assert result(queue, "a").cot == ChainOfThought("o", "i", "90", "neutral")
    assert result(queue, "f").worker.startswith(tuple("abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
    assert queue.status().consumers == () and queue.status().pending == 0
    lines = [line for line in caplog.messages if line.startswith("batch of")]
    assert len(lines) == 2 and lines[0].startswith("batch of 4: done 4; oldest waited ")


def test_one_bad_job_does_not_take_its_batch_with_it() -> None:
    def fail(ids: list[str]) -> None:
        if "b" in ids:
            raise RuntimeError("CUDA out of memory\nat b")

    queue, backend = MemoryQueue(max_deliveries=2, lease_s=0.05), Backend(fail)
    put(queue, *"abc")
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(queue, backend), kwargs={"once": False, "stop": stop})
    thread.start()
    found = queue.wait("abc", 10)
    stop.set()
    thread.join(5)
    assert backend.calls[:4] == [["a", "b", "c"], ["a"], ["b"], ["c"]]
    assert result(queue, "a").verified and result(queue, "c").verified
    assert found["b"].reason.startswith("RuntimeError: CUDA out of memory at b (test_workers_expllm.py:")
    assert backend.calls[4:] == [["b"]]


def test_a_job_that_came_back_works_alone() -> None:
    queue, backend = MemoryQueue(lease_s=0.05), Backend()
    put(queue, "a", "b")
    queue.get("killed", 2)
    put(queue, "c", "d")
    time.sleep(0.07)
    expllm.run(Config(explain=Explain(batch=4, wait_s=0.03)), queue, backend, once=True)
    assert sorted(backend.calls) == [["a"], ["b"], ["c", "d"]]


class Wrong(Backend):
    def __init__(self, change: Callable[[list[Result]], list[Result]]) -> None:
        super().__init__()
        self.change = change

    def explain(self, jobs: list[Job], images: list[dict[str, np.ndarray]]) -> list[Result]:
        return self.change(super().explain(jobs, images))


@pytest.mark.parametrize("change", [
    lambda results: results[:-1], lambda results: [], lambda results: [*results, results[0]],
    lambda results: [replace(one, id="z") for one in results],
], ids=["one missing", "none", "one more", "other ids"])  # fmt: skip
def test_a_backend_that_mixes_its_answers_up_stores_nothing(change: Any) -> None:
    queue = MemoryQueue(max_deliveries=1)
    put(queue, "a")
    work(queue, Wrong(change))
    assert "results for 1 jobs" in queue.find(["a"])["a"].reason


@pytest.mark.parametrize("error", [ModelMissing("weights are gone"), ExplainError("its server is away")], ids=str)
def test_a_backend_that_cannot_work_at_all_ends_the_worker_and_harms_no_job(error: Exception) -> None:
    def fail(_: list[str]) -> None:
        raise error

    queue = MemoryQueue(lease_s=60.0, max_deliveries=1)
    put(queue, "a", "b")
    with pytest.raises(type(error), match=str(error)):
        work(queue, Backend(fail), once=False)
    status = queue.status()
    assert (status.waiting, status.pending, status.dead, status.consumers) == (2, 0, 0, ())
    work(queue, Backend())
    assert result(queue, "a").verified and result(queue, "b").verified


def test_what_the_backend_has_no_text_for_is_a_dead_letter_with_its_reasons() -> None:
    class Speechless(Backend):
        def explain(self, jobs: list[Job], images: list[dict[str, np.ndarray]]) -> list[Result]:
            return [replace(one, cot=None, verified=False, reasons=("no label", "no end"), attempts=3) if one.id == "b" else one
                    for one in super().explain(jobs, images)]  # fmt: skip

    queue, backend = MemoryQueue(), Speechless()
    put(queue, "a", "b")
    assert work(queue, backend) == 0
    assert result(queue, "a").verified and backend.calls == [["a", "b"]], "it is not tried again by itself"
    ended = queue.find(["b"])["b"]
    assert ended.result is None and ended.reason == "test: no label; no end"
    assert [letter.id for letter in queue.dead()] == ["b"]


def test_a_result_that_is_too_large_is_a_dead_letter() -> None:
    huge = ChainOfThought("x" * 300_000, "", "", "neutral")
    queue = MemoryQueue()
    put(queue, "a")
    work(queue, Wrong(lambda results: [replace(one, cot=huge) for one in results]))
    assert "result of job a has" in queue.find(["a"])["a"].reason


@pytest.mark.parametrize("image", [b"", b"no jpeg", GREY[:200]], ids=["empty", "text", "cut"])
def test_a_picture_that_cannot_be_read_is_a_dead_letter_at_once(image: bytes) -> None:
    queue, backend = MemoryQueue(), Backend()
    put(queue, "bad", image=image)
    put(queue, "good")
    work(queue, backend)
    letter = queue.dead()[0]
    assert (letter.id, letter.deliveries) == ("bad", 1) and "picture 'apex'" in letter.reason
    assert backend.calls == [["good"]] and result(queue, "good").verified


def test_stopping_lets_the_batch_in_hand_end_and_takes_no_more() -> None:
    stop = threading.Event()
    queue, backend = MemoryQueue(), Backend(before=stop.set)
    put(queue, *"abcdef")
    assert work(queue, backend, once=False, stop=stop) == 0
    assert backend.calls == [["a", "b", "c", "d"]]
    status = queue.status()
    assert (status.waiting, status.pending, status.results, status.consumers) == (2, 0, 4, ())


def test_what_was_taken_but_not_begun_is_given_back() -> None:
    stop = threading.Event()

    class Late(MemoryQueue):
        def get(self, *args: Any, **options: Any) -> Any:
            jobs = super().get(*args, **options)
            stop.set()
            return jobs

    queue, backend = Late(lease_s=60.0), Backend()
    put(queue, "a", "b")
    work(queue, backend, once=False, stop=stop)
    assert backend.calls == [] and (queue.status().waiting, queue.status().pending) == (2, 0)
    assert [one.deliveries for one in [*queue.get("w", 1), *queue.get("w", 1)]] == [1, 1]


def test_a_job_longer_than_its_lease_is_worked_on_once() -> None:
    queue, other = MemoryQueue(lease_s=0.1), []
    backend = Backend(before=lambda: (time.sleep(0.3), other.extend(queue.get("other"))))
    put(queue, "a")
    work(queue, backend)
    assert other == [] and backend.calls == [["a"]] and result(queue, "a").verified


class Broken(MemoryQueue):
    """Unreachable for the first `failures` calls of one method."""

    def __init__(self, method: str, failures: int) -> None:
        super().__init__(lease_s=5.0)
        original = getattr(self, method)
        self.failures = failures

        def call(*args: Any, **options: Any) -> Any:
            if self.failures > 0:
                self.failures -= 1
                raise QueueUnreachable("the queue at redis://x does not answer")
            return original(*args, **options)

        setattr(self, method, call)


@pytest.mark.parametrize("method", ["get", "finish", "leave"])
def test_a_server_that_goes_away_is_waited_for(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamfer.jobs.worker.RETRY_S", 0.01)
    queue, backend = Broken(method, 3 if method != "leave" else 1), Backend()
    put(queue, "a")
    work(queue, backend)
    assert backend.calls == [["a"]] and result(queue, "a").verified  # explained once, although storing failed


@pytest.fixture
def quick_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamfer.jobs.queue.connect", functools.partial(connect, retries=0))


@pytest.mark.usefixtures("quick_connect")
def test_no_server_at_the_start_is_an_error_after_some_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamfer.jobs.worker.RETRY_S", 0.01)
    began = time.monotonic()
    with pytest.raises(QueueUnreachable, match=r"nowhere\.sock"):
        expllm.run(CONFIG, "unix:///nowhere.sock", Backend(), start_patience_s=0.05)
    assert 0.04 < time.monotonic() - began < 15


@pytest.mark.usefixtures("quick_connect")
def test_patience_gives_up_when_told_to() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(QueueUnreachable):
        connect_patiently(Config(queue=Queue(url="unix:///nowhere.sock")), "explain", None, stop, 60)


def test_patience_does_not_hide_other_errors() -> None:
    with pytest.raises(ZeroDivisionError):
        patiently(lambda: 1 // 0, "counting")


def test_the_heartbeat_renews_what_is_held_and_reports_what_was_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    queue = MemoryQueue(lease_s=0.12)
    put(queue, "a", "b")
    a, b = queue.get("w", 2)
    with Heartbeat(queue, "w", tmp_path / "alive") as beat:
        beat.hold([a.entry, b.entry])
        time.sleep(0.3)
        assert queue.get("other") == []
        beat.drop(b.entry)
        time.sleep(0.2)
        assert [one.id for one in queue.get("other", 2)] == ["b"]
        queue.fail(a.entry, "a", "taken away", retry=False)
        time.sleep(0.1)
    assert (tmp_path / "alive").exists()
    assert any("lost the lease of 1 job(s)" in line for line in caplog.messages)


def test_the_heartbeat_outlives_a_server_that_is_away(caplog: pytest.LogCaptureFixture) -> None:
    queue = Broken("renew", 2)
    queue.lease_s = 0.06
    put(queue, "a")
    (a,) = queue.get("w")
    with Heartbeat(queue, "w") as beat:
        beat.hold([a.entry])
        time.sleep(0.2)
        assert queue.failures == 0 and queue.renew("w", [a.entry]) == [a.entry]
    assert any("does not answer" in line for line in caplog.messages)


def test_the_janitor_comes_every_five_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = MemoryQueue()
    calls: list[int] = []
    monkeypatch.setattr(queue, "janitor", lambda: calls.append(1) or ["old"])
    janitor = Janitor(queue)
    janitor.look()
    assert calls == []
    now = time.monotonic()
    monkeypatch.setattr("streamfer.jobs.worker.time.monotonic", lambda: now + 301)
    janitor.look()
    janitor.look()
    assert calls == [1]


def test_a_reason_says_what_and_where_on_one_line() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        assert one_line(error).startswith("ValueError: two lines (test_workers_expllm.py:")
    assert one_line(KeyError()) == "KeyError: no message"
