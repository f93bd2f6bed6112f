"""One behaviour for both queues: every case runs on MemoryQueue and on a real server (a private Valkey)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamfer.errors import PayloadInvalid
from streamfer.jobs.embedded import EmbeddedServer
from streamfer.jobs.interface import IMAGE_LIMIT, IMAGES_LIMIT, PAYLOAD_LIMIT, RESULT_LIMIT, JobQueue
from streamfer.jobs.memory import MemoryQueue
from streamfer.jobs.queue import Queue, connect
from streamfer.records import Event, Job, KeyFrame, Moment, VideoJob, to_json

PICTURE = {"apex": b"\xff\xd8 not read by the queue"}
LEASE_S = 0.15
AFTER_LEASE_S = 0.2

Make = Callable[..., JobQueue]


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as running:
        yield running


@pytest.fixture(params=["memory", "valkey"])
def make(request: pytest.FixtureRequest, server: EmbeddedServer) -> Iterator[Make]:
    """make(limit=3) -> an empty queue. For Valkey each call is another client of the same queue."""
    if request.param == "memory":
        yield lambda **options: MemoryQueue(**{"lease_s": LEASE_S, **options})
        return
    client = connect(server.url)
    client.flushall()
    yield lambda **options: Queue(client, **{"lease_s": LEASE_S, **options})
    client.close()


def payload(job_id: str, **changes: Any) -> str:
    moment = Moment(3, 0.1)
    event = Event(job_id, "clip", "P1", 1, "micro", moment, moment, moment, 0.1, 0.2, (), (), 0.5)
    return to_json(Job(**{"id": job_id, "event": event, "images": (KeyFrame("apex", 3, 0.1),), "created_unix_s": 0.0,
                          **changes}))


def put(queue: JobQueue, *ids: str, priority: Any = "batch") -> None:
    for job_id in ids:
        assert queue.put(job_id, payload(job_id), PICTURE, priority) == "queued"


def test_a_job_comes_out_as_it_went_in_and_ends_with_its_result(make: Make) -> None:
    queue = make()
    put(queue, "a")
    (job,) = queue.get("w", 8)
    assert (job.id, job.payload, job.images, job.deliveries, job.priority) == ("a", payload("a"), PICTURE, 1, "batch")
    assert abs(job.put_unix_s - time.time()) < 5
    assert queue.finish(job.entry, "a", '{"r": 1}')
    assert queue.get("w", 8) == []
    assert queue.find(["a", "b"])["a"].result == '{"r": 1}'
    status = queue.status()
    assert (status.waiting, status.pending, status.dead, status.results, status.oldest_s) == (0, 0, 0, 1, 0)


def test_jobs_come_in_order_and_never_more_than_asked_for(make: Make) -> None:
    queue = make()
    put(queue, *"abcde")
    assert [job.id for job in queue.get("w", 2)] == ["a", "b"]
    assert [job.id for job in queue.get("w", 2)] == ["c", "d"]
    assert [job.id for job in queue.get("w", 2)] == ["e"]


def test_live_is_served_before_batch(make: Make) -> None:
    queue = make()
    put(queue, "b1", "b2")
    put(queue, "l1", "l2", priority="live")
    assert [job.id for job in queue.get("w", 3)] == ["l1", "l2", "b1"]
    assert [job.id for job in queue.get("w", 3)] == ["b2"]


@pytest.mark.parametrize("ending", ["waiting", "in hand", "done", "dead"])
def test_the_same_job_twice_is_a_duplicate(make: Make, ending: str) -> None:
    queue = make()
    put(queue, "a")
    if ending != "waiting":
        (job,) = queue.get("w")
        if ending == "done":
            queue.finish(job.entry, "a", "{}")
        if ending == "dead":
            queue.fail(job.entry, "a", "no face", retry=False)
    assert queue.put("a", payload("a"), PICTURE) == "duplicate"
    found = queue.find(["a"])
    assert found.get("a") is None if ending in ("waiting", "in hand") else found["a"].id == "a"
    if ending == "dead":
        assert (found["a"].result, found["a"].reason) == (None, "no face")
    assert len(queue.get("w", 8)) == (1 if ending == "waiting" else 0)


def test_a_full_queue_refuses_until_a_job_ends_and_each_priority_has_its_own_limit(make: Make) -> None:
    queue = make(limit=2)
    put(queue, "a", "b")
    assert queue.put("c", payload("c"), PICTURE) == "full"
    assert queue.put("l", payload("l"), PICTURE, "live") == "queued"
    _, job = queue.get("w", 2)
    assert queue.put("c", payload("c"), PICTURE) == "full"  # in hand counts: it has not ended
    queue.finish(job.entry, job.id, "{}")
    assert queue.put("c", payload("c"), PICTURE) == "queued"


def test_a_silent_worker_loses_its_job_and_its_late_result_does_not_count(make: Make) -> None:
    queue = make()
    put(queue, "a")
    (slow,) = queue.get("slow")
    assert queue.get("quick") == []
    time.sleep(AFTER_LEASE_S)
    (again,) = queue.get("quick")
    assert (again.id, again.deliveries) == ("a", 2)
    assert queue.finish(again.entry, "a", '"quick"')
    assert not queue.finish(slow.entry, "a", '"slow"')
    assert queue.find(["a"])["a"].result == '"quick"'
    assert queue.status().results == 1


def test_a_late_result_that_comes_first_counts_once(make: Make) -> None:
    queue = make()
    put(queue, "a")
    (slow,) = queue.get("slow")
    time.sleep(AFTER_LEASE_S)
    (again,) = queue.get("quick")
    assert queue.finish(slow.entry, "a", '"slow"')
    assert not queue.finish(again.entry, "a", '"quick"')
    assert queue.find(["a"])["a"].result == '"slow"'


def test_finish_asked_again_after_a_broken_connection_is_still_true(make: Make) -> None:
    queue = make()
    put(queue, "a")
    (job,) = queue.get("w")
    assert queue.finish(job.entry, "a", "{}")
    assert queue.finish(job.entry, "a", "{}")
    assert queue.status().results == 1


def test_signs_of_life_keep_a_job_longer_than_its_lease(make: Make) -> None:
    queue = make()
    put(queue, "a")
    (job,) = queue.get("w")
    for _ in range(6):
        time.sleep(LEASE_S / 3)
        assert queue.renew("w", [job.entry]) == [job.entry]
        assert queue.get("other") == []
    assert queue.finish(job.entry, "a", "{}")
    assert queue.renew("w", [job.entry]) == []
    assert queue.renew("w", []) == []


def test_a_frozen_worker_does_not_take_its_job_back_by_a_sign_of_life(make: Make) -> None:
    queue = make()
    put(queue, "a", "b")
    frozen = queue.get("frozen", 2)
    time.sleep(AFTER_LEASE_S)
    (taken,) = queue.get("other")
    assert queue.renew("frozen", [job.entry for job in frozen]) == [frozen[1].entry]
    assert queue.renew("other", [taken.entry]) == [taken.entry]


def test_what_comes_back_comes_alone_before_anything_new(make: Make) -> None:
    queue = make()
    put(queue, "a", "b")
    queue.get("killed", 2)
    put(queue, "c", "d")
    time.sleep(AFTER_LEASE_S)
    assert [(job.id, job.deliveries) for job in queue.get("w", 8)] == [("a", 2)]
    assert [job.id for job in queue.get("w", 8, fresh_only=True)] == ["c", "d"]
    assert [(job.id, job.deliveries) for job in queue.get("w", 8)] == [("b", 2)]


def test_a_job_that_kills_its_workers_dies_alone(make: Make) -> None:
    # Given a batch of four whose worker is killed by job "p" each time
    queue = make(max_deliveries=3)
    put(queue, "a", "p", "b", "c")
    assert len(queue.get("killed", 4)) == 4
    done = []
    deadline = time.monotonic() + 10
    while queue.status().waiting + queue.status().pending and time.monotonic() < deadline:
        for job in queue.get("next", 4, block_s=0.05):
            if job.id != "p":
                queue.finish(job.entry, job.id, "{}")
                done.append((job.id, job.deliveries))
    # Then the others were done at their second delivery, and the poison was buried after three
    assert sorted(done) == [("a", 2), ("b", 2), ("c", 2)]
    (letter,) = queue.dead()
    assert letter.id == "p" and letter.payload == payload("p")
    assert letter.reason == "no answer after 3 deliveries: its worker was killed or froze each time"
    assert queue.find(["p"])["p"].reason == letter.reason


def test_a_failed_job_is_tried_again_and_its_reason_kept(make: Make) -> None:
    queue = make(max_deliveries=2)
    put(queue, "a")
    (job,) = queue.get("w")
    assert queue.fail(job.entry, "a", "CUDA out of memory", retry=True, after_s=0) == "retry"
    assert queue.status().waiting == 1 and queue.status().pending == 0
    (again,) = queue.get("w")
    assert again.deliveries == 2
    assert queue.fail(again.entry, "a", "CUDA error 700", retry=True) == "dead"
    (letter,) = queue.dead()
    assert (letter.reason, letter.deliveries) == ("CUDA error 700; the try before: CUDA out of memory", 2)
    assert abs(letter.died_unix_s - time.time()) < 5


def test_a_failed_job_waits_before_it_is_tried_again(make: Make) -> None:
    queue = make()
    put(queue, "a")
    (job,) = queue.get("w")
    queue.fail(job.entry, "a", "busy", retry=True, after_s=0.1)
    assert queue.get("w") == []
    time.sleep(0.13)
    assert len(queue.get("w")) == 1


def test_a_killed_worker_after_a_failure_keeps_the_failure_in_the_reason(make: Make) -> None:
    queue = make(max_deliveries=2)
    put(queue, "a")
    (job,) = queue.get("w")
    queue.fail(job.entry, "a", "ValueError: no eyes", retry=True, after_s=0)
    queue.get("killed")
    time.sleep(AFTER_LEASE_S)
    assert queue.get("w") == []
    assert queue.dead()[0].reason.endswith("; the try before: ValueError: no eyes")


@pytest.mark.parametrize("retry", [True, False])
def test_only_the_holder_may_fail_or_release_a_job(make: Make, retry: bool) -> None:
    queue = make()
    put(queue, "a")
    (old,) = queue.get("old")
    time.sleep(AFTER_LEASE_S)
    (new,) = queue.get("new")
    assert queue.fail(old.entry, "a", "mine is broken", retry=retry) == "gone"
    assert queue.release([old.entry]) == 0
    assert queue.finish(new.entry, "a", "{}") and queue.dead() == []
    assert queue.fail(new.entry, "a", "too late", retry=retry) == "gone"


def test_a_released_job_is_had_at_once_and_not_counted(make: Make) -> None:
    queue = make(lease_s=60.0, max_deliveries=1)
    put(queue, "a", "b")
    for _ in range(4):
        jobs = queue.get("draining", 2)
        jobs += queue.get("draining", 2)
        assert [(job.id, job.deliveries) for job in jobs] == [("a", 1), ("b", 1)]
        assert queue.release([job.entry for job in jobs]) == 2
    assert queue.status().waiting == 2 and queue.release([]) == 0
    assert queue.leave("draining")


def test_get_waits_for_a_job(make: Make) -> None:
    queue = make()
    assert queue.get("w") == []
    began = time.monotonic()
    assert queue.get("w", 4, block_s=0.05) == []
    assert 0.04 < time.monotonic() - began < 2
    timer = threading.Timer(0.05, put, (queue, "a"))
    timer.start()
    assert [job.id for job in queue.get("w", 4, block_s=3)] == ["a"]
    timer.join()


BAD_PUTS: dict[str, tuple[str, str, dict[str, bytes], str]] = {
    "no json": ("a", "{", PICTURE, "not a valid Job"),
    "not an object": ("a", "[]", PICTURE, "not a valid Job"),
    "another record": ("a", to_json(VideoJob("a", "v.mp4", "out")), PICTURE, "event"),
    "another id": ("a", payload("b"), PICTURE, "another id, 'b'"),
    "another schema": ("a", payload("a", schema=99), PICTURE, "schema 99"),
    "not utf-8": ("a", payload("a") + "\ud800", PICTURE, "not UTF-8"),
    "too much json": ("a", payload("a") + " " * PAYLOAD_LIMIT, PICTURE, "bytes, 262144 at most"),
    "too large a picture": ("a", payload("a"), {"apex": b"x" * (IMAGE_LIMIT + 1)}, "'apex' has 4194305 bytes"),
    "too many pictures": ("a", payload("a"), {f"p{i}": b"" for i in range(IMAGES_LIMIT + 1)}, "13 pictures"),
    "odd picture name": ("a", payload("a"), {"../x": b""}, "'../x'"),
    "picture missing": ("a", payload("a"), {}, "names the pictures ['apex'] but comes with []"),
    "empty id": ("", payload(""), PICTURE, "1-128 letters"),
    "id with a space": ("a b", payload("a b"), PICTURE, "1-128 letters"),
    "id with braces": ("{x}", payload("{x}"), PICTURE, "1-128 letters"),
    "long id": ("a" * 129, payload("a" * 129), PICTURE, "1-128 letters"),
}


@pytest.mark.parametrize("case", BAD_PUTS)
def test_what_no_worker_could_use_is_refused(make: Make, case: str) -> None:
    job_id, text, images, says = BAD_PUTS[case]
    queue = make()
    with pytest.raises(PayloadInvalid) as caught:
        queue.put(job_id, text, images)
    assert says in str(caught.value)
    assert queue.status().waiting == 0


def test_a_result_that_is_too_large_is_refused_and_the_job_stays(make: Make) -> None:
    queue = make()
    put(queue, "a")
    (job,) = queue.get("w")
    with pytest.raises(PayloadInvalid, match="result of job a has 262145 bytes"):
        queue.finish(job.entry, "a", "x" * (RESULT_LIMIT + 1))
    assert queue.renew("w", [job.entry]) == [job.entry]


def test_results_come_in_the_order_of_ending_after_a_cursor(make: Make) -> None:
    queue = make()
    assert queue.end() == "0" and queue.results() == ("0", [])
    put(queue, *"abc")
    a, b, c = queue.get("w", 3)
    queue.finish(b.entry, "b", '"B"')
    middle = queue.end()
    queue.fail(a.entry, "a", "bad light", retry=False)
    queue.finish(c.entry, "c", '"Ç"')
    cursor, ended = queue.results()
    assert [(one.id, one.result, one.reason) for one in ended] == [
        ("b", '"B"', ""), ("a", None, "bad light"), ("c", '"Ç"', ""),
    ]  # fmt: skip
    assert [one.id for one in queue.results(middle)[1]] == ["a", "c"]
    assert queue.results(middle, only={"c"}) == (cursor, [ended[2]])
    assert cursor == queue.end() and queue.results(cursor, 0.02) == (cursor, [])


def test_wait_returns_when_all_have_ended_or_the_time_is_over(make: Make) -> None:
    queue = make(lease_s=10.0)
    put(queue, *"abc")
    a, b, _ = queue.get("w", 3)
    queue.finish(a.entry, "a", "{}")
    assert set(queue.wait({"a", "b"}, 0.03)) == {"a"}
    timer = threading.Timer(0.05, queue.fail, (b.entry, "b", "bad", False))
    timer.start()
    found = queue.wait(["a", "b"], 5)
    assert found["a"].result == "{}" and found["b"].reason == "bad"
    timer.join()


def test_dead_jobs_can_be_tried_again(make: Make) -> None:
    queue = make(max_deliveries=1)
    put(queue, "a", "b")
    for job in queue.get("w", 2):
        queue.fail(job.entry, job.id, "no model", retry=True)
    assert [letter.id for letter in queue.dead()] == ["a", "b"]
    assert queue.retry_dead({"b", "unknown"}) == (["b"], [])
    assert [letter.id for letter in queue.dead()] == ["a"] and queue.find(["b"]) == {}
    (job,) = queue.get("w", 8)
    assert (job.id, job.images, job.deliveries) == ("b", PICTURE, 1)
    assert queue.finish(job.entry, "b", "{}")
    assert queue.retry_dead() == (["a"], []) and queue.retry_dead() == ([], [])


def test_only_a_result_can_be_thrown_away(make: Make) -> None:
    queue = make()
    assert not queue.forget("a")
    put(queue, "a", "b")
    assert not queue.forget("a"), "it waits"
    for claimed in queue.get("w", 2):
        assert not queue.forget(claimed.id), "it is being worked on"
        if claimed.id == "a":
            queue.finish(claimed.entry, "a", "{}")
        else:
            queue.fail(claimed.entry, "b", "why", retry=False)
    assert queue.forget("a") and not queue.forget("a") and not queue.forget("b")
    assert queue.find(["a"]) == {} and queue.find(["b"])["b"].reason == "why"
    put(queue, "a")
    (claimed,) = queue.get("w")
    assert queue.finish(claimed.entry, "a", '{"new": 1}') and queue.find(["a"])["a"].result == '{"new": 1}'


def test_what_the_queue_knows_nothing_of_is_lost(make: Make) -> None:
    queue = make(lease_s=60.0)
    put(queue, *"abcd")
    a, b, _ = queue.get("w", 3)
    queue.finish(a.entry, "a", "{}")
    queue.fail(b.entry, "b", "why", retry=False)
    assert queue.lost([]) == [] and queue.lost(list("zabcdy")) == ["z", "y"]  # done, dead, in hand, waiting
    put(queue, "z", priority="live")
    queue.forget("a")
    assert queue.lost(list("za")) == ["a"]


def test_what_waits_longer_than_its_mark_is_not_lost(make: Make) -> None:
    queue = make(ttl_s=0.05, lease_s=60.0)
    put(queue, *"ab")
    (a,) = queue.get("w", 1)
    time.sleep(0.06)
    assert queue.lost(["a", "b"]) == []
    queue.finish(a.entry, "a", "{}")
    assert queue.lost(["a", "b"]) == []
    time.sleep(0.06)
    assert queue.lost(["a", "b"]) == ["a"]


def test_pictures_are_forgotten_and_say_so(make: Make) -> None:
    queue = make(ttl_s=0.06)
    put(queue, "a", "b")
    (a,) = queue.get("w")
    queue.fail(a.entry, "a", "bad", retry=False)
    time.sleep(0.09)
    assert queue.get("w", 8) == []
    assert "pictures were forgotten" in queue.dead()[1].reason and "ttl_s = 0.06" in queue.dead()[1].reason
    assert queue.retry_dead({"a"}) == ([], ["a"])
    assert queue.put("a", payload("a"), PICTURE) == "queued"  # the mark is forgotten too


def test_a_job_put_again_after_its_mark_was_forgotten_still_has_one_result(make: Make) -> None:
    queue = make(ttl_s=0.5, lease_s=60.0)
    put(queue, "a")
    (first,) = queue.get("w")
    time.sleep(0.55)
    put(queue, "a")
    (second,) = queue.get("w")
    assert queue.finish(first.entry, "a", '"first"')
    assert not queue.finish(second.entry, "a", '"second"')
    assert queue.find(["a"])["a"].result == '"first"' and queue.status().results == 1
    assert queue.status().pending == 0


def test_dead_letters_beyond_the_limit_keep_no_pictures(make: Make) -> None:
    queue = make(limit=1)
    for job_id in "ab":
        put(queue, job_id)
        (job,) = queue.get("w")
        queue.fail(job.entry, job_id, "bad", retry=False)
    assert queue.retry_dead() == (["a"], ["b"])


def test_status_and_the_janitor(make: Make) -> None:
    queue = make(ttl_s=0.1)
    assert queue.status().consumers == ()
    put(queue, "a", "b", "c")
    (a,) = queue.get("one")
    queue.get("two")
    queue.finish(a.entry, "a", "{}")
    time.sleep(0.05)
    status = queue.status()
    assert (status.waiting, status.pending, status.results) == (1, 1, 1)
    assert [(worker.name, worker.pending) for worker in status.consumers] == [("one", 0), ("two", 1)]
    assert 0.04 < status.oldest_s < 5 and 0.03 < status.consumers[0].idle_s < 5
    assert queue.janitor() == []
    assert queue.janitor(idle_s=0.0) == ["one"]  # "two" still holds a job
    assert not queue.leave("two") and queue.leave("nobody")
    assert queue.status().pending == 1
    time.sleep(1.2)  # endings are forgotten by the server's clock, in whole seconds
    queue.janitor()
    assert queue.status().results == 0


def test_reasons_are_cut_and_never_empty(make: Make) -> None:
    queue = make()
    put(queue, "a", "b", "c")
    for job, reason in zip(queue.get("w", 3), ["x" * 5000 + "last line", "", "half \ud800"], strict=True):
        queue.fail(job.entry, job.id, reason, retry=False)
    reasons = [letter.reason for letter in queue.dead()]
    assert len(reasons[0]) < 2100 and reasons[0].endswith("last line")
    assert reasons[1:] == ["no reason given", "half ?"]


def test_many_threads_get_each_job_once(make: Make) -> None:
    queue = make(lease_s=30.0)
    ids = [f"j{i}" for i in range(120)]
    put(queue, *ids)
    seen: list[str] = []

    def work(name: str, mine: JobQueue) -> None:
        while jobs := mine.get(name, 7):
            for job in jobs:
                assert mine.finish(job.entry, job.id, "{}")
                seen.append(job.id)

    # each worker has its own Queue on Valkey; MemoryQueue is shared
    clients = [queue if isinstance(queue, MemoryQueue) else make(lease_s=30.0) for _ in range(4)]
    threads = [threading.Thread(target=work, args=(f"w{i}", mine)) for i, mine in enumerate(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == sorted(ids) and set(queue.find(ids)) == set(ids)


WHAT = ["put", "live", "get", "fresh", "finish", "retry", "dead", "release", "renew", "expire", "revive"]
STEPS = st.lists(st.sampled_from(WHAT), max_size=40)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, data=st.data())
def test_whatever_workers_do_every_job_ends_exactly_once(make: Make, steps: list[str], data: st.DataObject) -> None:
    queue = make(lease_s=0.02, max_deliveries=2, limit=5)
    if isinstance(queue, Queue):
        queue.client.flushall()
    accepted: list[str] = []
    held: list[Any] = []
    finished: set[str] = set()
    for number, step in enumerate(steps):
        if step in ("put", "live"):
            priority: Any = "live" if step == "live" else "batch"
            if queue.put(f"j{number}", payload(f"j{number}"), PICTURE, priority) == "queued":
                accepted.append(f"j{number}")
        elif step in ("get", "fresh"):
            held += queue.get("w", 2, fresh_only=step == "fresh")
        elif step == "expire":
            time.sleep(0.025)
        elif step == "revive":
            queue.retry_dead()
        elif held:
            job = held[data.draw(st.integers(0, len(held) - 1))]
            if step == "finish":
                if queue.finish(job.entry, job.id, f'"{number}"'):
                    assert job.id not in finished
                    finished.add(job.id)
            elif step == "renew":
                queue.renew("w", [job.entry])
            elif step == "release":
                queue.release([job.entry])
            else:
                queue.fail(job.entry, job.id, step, retry=step == "retry", after_s=0)
    for _ in range(200):
        if not (queue.status().waiting or queue.status().pending):
            break
        for job in queue.get("last", 3, block_s=0.03):
            assert queue.finish(job.entry, job.id, "{}")
            assert job.id not in finished
            finished.add(job.id)
    dead = [letter.id for letter in queue.dead()]
    assert len(dead) == len(set(dead))
    assert finished | set(dead) == set(accepted) and not finished & set(dead)
    assert queue.status().results >= len(accepted)
    if isinstance(queue, Queue):  # nothing but the marks of what ended is left
        left = {key.decode() for key in queue.client.keys("*")}
        assert not [key for key in left if ":images:" in key and key.rpartition(":")[2] not in dead]
