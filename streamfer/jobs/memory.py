"""MemoryQueue: the queue in one process, for tests and for programs that want no server.

The same interface and the same behaviour as `Queue` (tests/test_jobs_queue.py runs every case against both), with a
lock in place of the scripts. It keeps nothing after the process ends, and its leases only guard against threads that
stop answering.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from streamfer.jobs.endings import wait
from streamfer.jobs.interface import (
    CONSUMER_IDLE_S,
    DEAD_KEEP_S,
    PRIORITIES,
    RETRY_AFTER_S,
    Claimed,
    Consumer,
    DeadLetter,
    Entry,
    Finished,
    Priority,
    Put,
    QueueStatus,
    Topic,
    check_put,
    check_result,
    cut_reason,
)


@dataclass(slots=True)
class _Item:
    """A job that has not ended."""

    id: str
    payload: str
    images: dict[str, bytes]
    expires: float  # of the pictures
    consumer: str | None = None  # None: nobody ever had it, "" : given back
    free_at: float = 0.0  # from when another worker may claim it
    deliveries: int = 0
    reason: str = ""


class MemoryQueue:
    """See `Queue` for the meaning of the options and methods. Thread-safe."""

    def __init__(
        self, topic: Topic = "explain", *,
        lease_s: float = 30.0, max_deliveries: int = 3, limit: int = 1000, ttl_s: float = 86400.0,
    ) -> None:
        self.topic, self.lease_s, self.max_deliveries, self.limit, self.ttl_s = (
            topic, lease_s, max_deliveries, limit, ttl_s,
        )  # fmt: skip
        self._changed = threading.Condition()
        self._streams: dict[Priority, OrderedDict[str, _Item]] = {p: OrderedDict() for p in PRIORITIES}
        self._states: dict[str, tuple[float, str]] = {}  # id -> expiry, "waiting" | "done" | "dead <reason>"
        self._results: dict[str, tuple[float, str]] = {}
        self._endings: list[tuple[str, str, str]] = []  # cursor, id, reason
        self._dead: dict[str, tuple[DeadLetter, _Item]] = {}
        self._seen: dict[str, float] = {}  # consumer -> last call
        self._last = (0, 0)

    def put(self, job_id: str, payload: str, images: Mapping[str, bytes], priority: Priority = "batch") -> Put:
        check_put(self.topic, job_id, payload, images)
        with self._changed:
            now = time.monotonic()
            self._forget(now)
            if job_id in self._states or job_id in self._results:
                return "duplicate"
            if len(self._streams[priority]) >= self.limit:
                return "full"
            self._states[job_id] = (now + self.ttl_s, "waiting")
            self._streams[priority][self._next_id()] = _Item(job_id, payload, dict(images), now + self.ttl_s)
            self._changed.notify_all()
            return "queued"

    def get(
        self, consumer: str, count: int = 1, block_s: float = 0.0, *, fresh_only: bool = False
    ) -> list[Claimed]:
        deadline = time.monotonic() + block_s
        with self._changed:
            while True:
                self._seen[consumer] = now = time.monotonic()
                found = self._take(consumer, count, fresh_only, now)
                if found or now >= deadline:
                    return found
                self._changed.wait(min(deadline - now, 0.05))  # leases run out without anybody telling

    def _take(self, consumer: str, count: int, fresh_only: bool, now: float) -> list[Claimed]:
        found: list[Claimed] = []
        for priority, stream in self._streams.items():
            for stream_id, item in list(stream.items()):
                fresh = item.consumer is None
                if len(found) == count or (not fresh and (fresh_only or found or item.free_at > now)):
                    continue
                entry = Entry(priority, stream_id, consumer)
                item.consumer, item.free_at, item.deliveries = consumer, now + self.lease_s, item.deliveries + 1
                if item.deliveries > self.max_deliveries:
                    self._end_dead(entry, item, f"no answer after {self.max_deliveries} deliveries: its worker was "
                                                "killed or froze each time")
                elif item.images and item.expires <= now:
                    self._end_dead(entry, item, "its pictures were forgotten before a worker had time "
                                                f"(queue.ttl_s = {self.ttl_s:g})")
                else:
                    found.append(Claimed(entry, item.id, item.payload, dict(item.images), item.deliveries))
                    if not fresh:
                        return found  # alone: it may kill its worker
        return found

    def renew(self, consumer: str, entries: Sequence[Entry]) -> list[Entry]:
        with self._changed:
            self._seen[consumer] = now = time.monotonic()
            held = [entry for entry in entries if self._held(entry._replace(consumer=consumer))]
            for entry in held:
                self._streams[entry.priority][entry.stream_id].free_at = now + self.lease_s
            return held

    def finish(self, entry: Entry, job_id: str, result: str) -> bool:
        check_result(job_id, result)
        with self._changed:
            now = time.monotonic()
            if self._streams[entry.priority].pop(entry.stream_id, None) is None:
                return self._results.get(job_id, (0.0, ""))[1] == result
            if job_id in self._results:
                return False
            self._results[job_id] = (now + self.ttl_s, result)
            self._states[job_id] = (now + self.ttl_s, "done")
            self._endings.append((self._next_id(), job_id, ""))
            self._changed.notify_all()
            return True

    def fail(
        self, entry: Entry, job_id: str, reason: str, retry: bool, *, after_s: float = RETRY_AFTER_S
    ) -> Literal["dead", "retry", "gone"]:
        with self._changed:
            item = self._held(entry)
            if item is None:
                return "gone"
            if retry and item.deliveries < self.max_deliveries:
                item.consumer, item.reason = "", cut_reason(reason)
                item.free_at = time.monotonic() + min(after_s, self.lease_s)
                return "retry"
            self._end_dead(entry, item, cut_reason(reason))
            return "dead"

    def release(self, entries: Sequence[Entry]) -> int:
        with self._changed:
            held = [item for entry in entries if (item := self._held(entry)) is not None]
            for item in held:
                item.consumer, item.free_at, item.deliveries = "", 0.0, item.deliveries - 1
            self._changed.notify_all()
            return len(held)

    def results(
        self, after: str = "0", block_s: float = 0.0, only: Collection[str] | None = None
    ) -> tuple[str, list[Finished]]:
        with self._changed:
            self._changed.wait_for(lambda: self._after(after), timeout=block_s)
            ended = self._after(after)[:1000]
            found = []
            for cursor, job_id, reason in ended:
                if only is None or job_id in only:
                    if reason:
                        found.append(Finished(cursor, job_id, None, reason))
                    elif job_id in self._results:
                        found.append(Finished(cursor, job_id, self._results[job_id][1]))
            return (ended[-1][0] if ended else after), found

    def end(self) -> str:
        with self._changed:
            return self._endings[-1][0] if self._endings else "0"

    def find(self, ids: Sequence[str]) -> dict[str, Finished]:
        with self._changed:
            self._forget(time.monotonic())
            found = {}
            for job_id in ids:
                state = self._states.get(job_id, (0.0, ""))[1]
                if job_id in self._results:
                    found[job_id] = Finished("", job_id, self._results[job_id][1])
                elif state.startswith("dead "):
                    found[job_id] = Finished("", job_id, None, state[5:])
            return found

    def lost(self, ids: Sequence[str]) -> list[str]:
        with self._changed:
            self._forget(time.monotonic())
            there = {item.id for stream in self._streams.values() for item in stream.values()}
            return [job_id for job_id in ids if job_id not in self._states and job_id not in there]

    def wait(self, ids: Collection[str], timeout_s: float) -> dict[str, Finished]:
        return wait(self, ids, timeout_s)

    def forget(self, job_id: str) -> bool:
        with self._changed:
            if self._states.get(job_id, (0.0, "waiting"))[1] != "done":
                return False
            del self._states[job_id]
            self._results.pop(job_id, None)
            return True

    def dead(self) -> list[DeadLetter]:
        with self._changed:
            return [letter for letter, _ in self._dead.values()]

    def retry_dead(self, ids: Collection[str] | None = None) -> tuple[list[str], list[str]]:
        back, forgotten = [], []
        with self._changed:
            now = time.monotonic()
            for letter_id, (letter, item) in list(self._dead.items()):
                if ids is not None and letter.id not in ids:
                    continue
                if item.expires <= now:
                    forgotten.append(letter.id)
                    continue
                del self._dead[letter_id]
                self._states[letter.id] = (now + self.ttl_s, "waiting")
                fresh = _Item(letter.id, letter.payload, item.images, now + self.ttl_s)
                self._streams[letter.priority][self._next_id()] = fresh
                back.append(letter.id)
            self._changed.notify_all()
        return back, forgotten

    def status(self) -> QueueStatus:
        with self._changed:
            now = time.monotonic()
            pending: dict[str, int] = {}
            for stream in self._streams.values():
                for item in stream.values():
                    if item.consumer:
                        pending[item.consumer] = pending.get(item.consumer, 0) + 1
            first = [int(next(iter(s)).partition("-")[0]) / 1000 for s in self._streams.values() if s]
            return QueueStatus(
                waiting=sum(map(len, self._streams.values())) - sum(pending.values()), pending=sum(pending.values()),
                oldest_s=max(0.0, time.time() - min(first)) if first else 0.0,
                consumers=tuple(Consumer(n, pending.get(n, 0), now - self._seen[n]) for n in sorted(self._seen)),
                dead=len(self._dead), results=len(self._endings), memory_bytes=0, memory_limit_bytes=0,
            )

    def janitor(self, idle_s: float = CONSUMER_IDLE_S) -> list[str]:
        with self._changed:
            now = time.monotonic()
            self._forget(now)
            old_ms = (time.time() - self.ttl_s) * 1000
            self._endings = [row for row in self._endings if int(row[0].partition("-")[0]) >= old_ms]
            limit_s = time.time() - DEAD_KEEP_S
            self._dead = {key: pair for key, pair in self._dead.items() if pair[0].died_unix_s >= limit_s}
            busy = {item.consumer for stream in self._streams.values() for item in stream.values()}
            gone = sorted(n for n, last in self._seen.items() if n not in busy and now - last >= idle_s)
            for name in gone:
                del self._seen[name]
            return gone

    def leave(self, consumer: str) -> bool:
        with self._changed:
            if any(item.consumer == consumer for stream in self._streams.values() for item in stream.values()):
                return False
            self._seen.pop(consumer, None)
            return True

    # ------------------------------------------------------------------------------------ internals

    def _next_id(self) -> str:
        """Like Redis: milliseconds and a counter, always growing. The first id of a queue is after "0"."""
        ms = max(int(time.time() * 1000), self._last[0])
        self._last = (ms, self._last[1] + 1 if ms == self._last[0] else 0)
        return f"{self._last[0]}-{self._last[1]}"

    def _held(self, entry: Entry) -> _Item | None:
        item = self._streams[entry.priority].get(entry.stream_id)
        return item if item is not None and item.consumer == entry.consumer else None

    def _end_dead(self, entry: Entry, item: _Item, reason: str) -> None:
        if item.reason and item.reason != reason:
            reason = f"{reason}; the try before: {item.reason}"
        del self._streams[entry.priority][entry.stream_id]
        now = time.monotonic()
        item.expires = now + self.ttl_s
        if len(self._dead) >= self.limit and item.images:
            item.images, item.expires = {}, 0.0
        died = DeadLetter(item.id, item.payload, reason, item.deliveries, entry.priority, time.time())
        self._dead[self._next_id()] = (died, item)
        self._states[item.id] = (now + self.ttl_s, f"dead {reason}")
        self._endings.append((self._next_id(), item.id, reason))
        self._changed.notify_all()

    def _after(self, cursor: str) -> list[tuple[str, str, str]]:
        def order(stream_id: str) -> tuple[int, int]:
            ms, _, n = stream_id.partition("-")
            return int(ms), int(n or 0)

        return [row for row in self._endings if order(row[0]) > order(cursor)]

    def _forget(self, now: float) -> None:
        self._states = {i: pair for i, pair in self._states.items() if pair[0] > now}
        self._results = {i: pair for i, pair in self._results.items() if pair[0] > now}
