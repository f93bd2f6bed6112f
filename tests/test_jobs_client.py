"""The producer's side: every job that was submitted comes back once, whatever happened to it."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from streamfer.errors import QueueFull
from streamfer.jobs.client import LOST, Again, ExplainClient
from streamfer.jobs.connection import connect
from streamfer.jobs.embedded import EmbeddedServer
from streamfer.jobs.memory import MemoryQueue
from streamfer.jobs.queue import Queue
from streamfer.records import ChainOfThought, Event, Job, KeyFrame, Moment, Result, to_json

IMAGES = {"apex": np.full((16, 16, 3), 90, np.uint8)}


def job(job_id: str, priority: str = "batch", score: float = 0.5) -> Job:
    moment = Moment(3, 0.1)
    event = Event(job_id, "clip", "P1", 1, "micro", moment, moment, moment, 0.1, 0.2, (), (), score)
    return Job(job_id, event, (KeyFrame("apex", 3, 0.1),), time.time(), priority)  # type: ignore[arg-type]


def answer(job_id: str) -> str:
    cot = ChainOfThought("AU12", "a smile", "happy", "happiness")
    return to_json(Result(job_id, cot, True, (), "test", "m", "r", "cot_first", 1, 10, 0.1, "w"))


def work_off(queue: MemoryQueue, count: int = 100) -> None:
    for one in queue.get("w", count):
        queue.finish(one.entry, one.id, answer(one.id))


def test_what_is_submitted_comes_back() -> None:
    queue = MemoryQueue()
    client = ExplainClient(queue)
    assert client.poll() == [] and client.drain(1) == []
    for job_id in "abc":
        client.submit(job(job_id), IMAGES)
    assert client.poll() == [] and client.outstanding == ["a", "b", "c"]
    work_off(queue, 2)
    assert [(r.id, r.cot.label if r.cot else None) for r in client.poll()] == [("a", "happiness"), ("b", "happiness")]
    assert client.poll() == []
    timer = threading.Timer(0.05, work_off, (queue,))
    timer.start()
    assert [r.id for r in client.drain(5)] == ["c"]
    timer.join()
    assert client.outstanding == []


def test_pictures_travel_as_jpeg() -> None:
    queue = MemoryQueue()
    ExplainClient(queue).submit(job("a"), IMAGES)
    (claimed,) = queue.get("w")
    assert claimed.images["apex"].startswith(b"\xff\xd8")


def test_what_was_answered_before_comes_back_at_once() -> None:
    queue = MemoryQueue()
    ExplainClient(queue).submit(job("a"), IMAGES)
    work_off(queue)
    again = ExplainClient(queue)
    again.submit(job("a"), IMAGES)
    assert [r.id for r in again.drain(1)] == ["a"] and again.duplicates == 1
    assert again.outstanding == []


def test_the_same_job_twice_in_flight_comes_back_once() -> None:
    queue = MemoryQueue()
    client = ExplainClient(queue)
    client.submit(job("a"), IMAGES)
    client.submit(job("a"), IMAGES)
    work_off(queue)
    assert [r.id for r in client.poll()] == ["a"] and client.poll() == [] and client.duplicates == 1


def test_results_of_other_producers_are_not_ours() -> None:
    queue = MemoryQueue()
    one, two = ExplainClient(queue), ExplainClient(queue)
    one.submit(job("a"), IMAGES)
    two.submit(job("b"), IMAGES)
    work_off(queue)
    assert [r.id for r in one.poll()] == ["a"] and [r.id for r in two.poll()] == ["b"]


def test_a_dead_job_comes_back_with_its_reason() -> None:
    queue = MemoryQueue()
    client = ExplainClient(queue)
    client.submit(job("a"), IMAGES)
    (claimed,) = queue.get("w")
    queue.fail(claimed.entry, "a", "CUDA out of memory", retry=False)
    (result,) = client.poll()
    assert result.cot is None and not result.verified
    assert result.reasons == ("given up by the workers: CUDA out of memory",)
    late = ExplainClient(queue)  # a producer that was started again
    late.submit(job("a"), IMAGES)
    assert late.poll()[0].reasons == result.reasons


@pytest.mark.parametrize(
    ("again", "ending", "asked"),
    [("no", "dead", False), ("no", "done", False), ("failed", "dead", True), ("failed", "done", False), ("all", "dead", True),
     ("all", "done", True)],
)  # fmt: skip
def test_what_has_ended_is_asked_again_when_told_to(again: Again, ending: str, asked: bool) -> None:
    queue = MemoryQueue()
    ExplainClient(queue).submit(job("a"), IMAGES)
    if ending == "done":
        work_off(queue)
    else:
        (claimed,) = queue.get("w")
        queue.fail(claimed.entry, "a", "no text", retry=False)
    client = ExplainClient(queue, again=again)
    client.submit(job("a"), IMAGES)
    client.submit(job("a"), IMAGES)  # in flight already, or back already: never two at once
    assert queue.status().waiting == asked
    if asked:
        assert client.poll() == [] and queue.dead() == []
        work_off(queue)
    (result, *more) = client.poll()
    assert (result.cot is None) is (ending == "dead" and not asked)
    assert len(more) == (not asked), "what was back before it was submitted again comes back again"
    assert client.outstanding == []


def test_an_answer_that_cannot_be_read_says_so() -> None:
    queue = MemoryQueue()
    client = ExplainClient(queue)
    client.submit(job("a"), IMAGES)
    (claimed,) = queue.get("w")
    queue.finish(claimed.entry, "a", '{"id": "a"}')
    (result,) = client.poll()
    assert result.cot is None and "cannot be read" in result.reasons[0]


def test_a_file_waits_while_the_queue_is_full() -> None:
    queue = MemoryQueue(limit=2)
    client = ExplainClient(queue)
    timer = threading.Timer(0.1, work_off, (queue,))
    timer.start()
    began = time.monotonic()
    for job_id in "abc":
        client.submit(job(job_id), IMAGES)
    assert time.monotonic() - began > 0.08
    timer.join()
    work_off(queue)
    assert sorted(r.id for r in client.drain(2)) == ["a", "b", "c"]


def test_a_file_does_not_wait_for_ever_when_there_is_no_worker() -> None:
    queue = MemoryQueue(limit=1)
    client = ExplainClient(queue, patience_s=0.1)
    client.submit(job("a"), IMAGES)
    with pytest.raises(QueueFull, match=r"no job ended for 0\.1 s: start a worker"):
        client.submit(job("b"), IMAGES)
    assert client.outstanding == ["a"]


def test_live_never_waits_and_the_lowest_scores_go_and_are_told() -> None:
    queue = MemoryQueue(limit=1)
    client = ExplainClient(queue, live_backlog=2)
    began = time.monotonic()
    for job_id, score in (("first", 0.1), ("low", 0.2), ("high", 0.9), ("mid", 0.5), ("lower", 0.15)):
        client.submit(job(job_id, "live", score), IMAGES)
    assert time.monotonic() - began < 2
    dropped = client.poll()
    assert [r.id for r in dropped] == ["low", "lower"] and client.dropped == 2
    assert all(r.cot is None and "queue was full" in r.reasons[0] for r in dropped)
    assert client.outstanding == ["first", "high", "mid"]
    order = []
    while client.outstanding:
        work_off(queue)
        order += [r.id for r in client.poll()]
    assert order == ["first", "high", "mid"]  # the best of those that wait goes first


def test_what_the_server_lost_comes_back_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamfer.jobs.client.LOST_AFTER_S", 0.1)
    with EmbeddedServer() as server:
        queue = Queue(connect(server.url))
        client = ExplainClient(queue)
        client.submit(job("a"), IMAGES)
        client.submit(job("b"), IMAGES)
        (a,) = queue.get("w")
        queue.client.flushall()  # as a server without its data
        client.submit(job("c"), IMAGES)
        time.sleep(0.11)
        back = client.poll()
        assert [(r.id, r.cot, r.reasons) for r in back] == [("a", None, (LOST,)), ("b", None, (LOST,))]
        assert client.outstanding == ["c"]
        assert not queue.finish(a.entry, "a", answer("a"))  # its worker comes too late ...
        client.submit(job("a"), IMAGES)  # ... and asked again it is a new job
        for one in queue.get("w", 9):
            queue.finish(one.entry, one.id, answer(one.id))
        assert [r.id for r in client.drain(5) if r.cot] == ["c", "a"]


def test_drain_gives_up_in_time_and_names_the_rest() -> None:
    client = ExplainClient(MemoryQueue())
    client.submit(job("a"), IMAGES)
    assert client.drain(0.05) == [] and client.outstanding == ["a"]
