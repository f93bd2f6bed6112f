"""ExplainClient: the producer's side. Send events to be explained, collect one Result for each.

The promise: every job that was submitted comes back from `poll` or `drain` exactly once (one that is submitted again
when it has come back, once more). What could not be explained
(a dead letter, a live job dropped under load, one that the queue's server lost) comes back as a Result without a chain of
thought that says why, so that nothing is lost without a word. What never came back is in `outstanding`.
"""

from __future__ import annotations

import heapq
import logging
import time
from collections.abc import Iterable, Mapping
from itertools import count
from typing import TYPE_CHECKING, Literal

from streamfer.errors import PayloadInvalid, QueueFull
from streamfer.jobs.images import encode
from streamfer.jobs.interface import LOST_AFTER_S, Finished, JobQueue
from streamfer.records import Job, Result, from_json, to_json

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger(__name__)

#: Live jobs kept here while the queue is full; beyond that the lowest score goes.
LIVE_BACKLOG = 32
#: A file's producer looks so often whether a full queue has room again.
FULL_RETRY_S = 0.05
#: ... and gives up when no job at all ended for so long: then there is no worker.
FULL_PATIENCE_S = 600.0
LOST = "the queue's server lost it (killed before it had written, or it keeps nothing on disk): `streamfer explain` asks again"


#: Which jobs that have ended in the queue are to be worked on once more: none (their ending is the answer), those that
#: failed, or all.
Again = Literal["no", "failed", "all"]


class ExplainClient:
    """Not thread-safe: one client for each producer."""

    def __init__(
        self, queue: JobQueue, *, jpeg_quality: int = 95, live_backlog: int = LIVE_BACKLOG,
        patience_s: float = FULL_PATIENCE_S, again: Again = "no",
    ) -> None:
        self._queue, self._quality, self._again = queue, jpeg_quality, again
        self._backlog_limit, self._patience_s = live_backlog, patience_s
        self._asked = time.monotonic()  # when there was an answer last, or the question what was lost
        self._cursor = queue.end()  # what ends from now on; what ended before is found by id when it is submitted
        self._sent: set[str] = set()
        self._ready: list[Result] = []
        self._backlog: list[tuple[float, int, Job, str, dict[str, bytes]]] = []  # a heap: lowest score first
        self._order = count()
        self.submitted = 0
        self.duplicates = 0
        self.dropped = 0

    @property
    def outstanding(self) -> list[str]:
        """Ids that were submitted and have not come back."""
        return sorted(self._sent | {job.id for _, _, job, _, _ in self._backlog})

    def submit(self, job: Job, images: Mapping[str, np.ndarray]) -> None:
        """Send one job with its pictures, (H, W, 3) uint8 RGB by role.

        A batch job waits while the queue is full; a live one does not: the jobs of the lowest score go, counted in
        `dropped`. A job that was explained before comes back from the next `poll`.
        Raises PayloadInvalid, QueueUnreachable, and QueueFull when nothing left a full queue for `patience_s`.
        """
        encoded = {role: encode(image, self._quality) for role, image in images.items()}
        self.submitted += 1
        if job.priority == "live":
            heapq.heappush(self._backlog, (job.event.score, next(self._order), job, to_json(job), encoded))
            self._flush_live()
            while len(self._backlog) > self._backlog_limit:
                lowest = heapq.heappop(self._backlog)[2]
                self.dropped += 1
                self._ready.append(unexplained(lowest.id, "dropped: the queue was full and other scores were higher"))
            return
        payload = to_json(job)
        moved, cursor = time.monotonic(), self._cursor
        while not self._put(job, payload, encoded):
            self._collect(FULL_RETRY_S)
            if cursor != self._cursor:
                moved, cursor = time.monotonic(), self._cursor
            elif time.monotonic() - moved > self._patience_s:
                raise QueueFull(f"the queue is full and no job ended for {self._patience_s:g} s: "
                                "start a worker (streamfer worker)")
            time.sleep(FULL_RETRY_S)  # endings of others return at once from _collect

    def poll(self) -> list[Result]:
        """What has come back since the last call; never blocks."""
        self._flush_live()
        self._collect(0.0)
        ready, self._ready = self._ready, []
        return ready

    def drain(self, timeout_s: float) -> list[Result]:
        """Wait until everything has come back, at most `timeout_s`; the rest stays in `outstanding`."""
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0 and (self._sent or self._backlog):
            self._flush_live()
            self._collect(min(left, 0.2) if self._backlog else left)
        return self.poll()

    def _flush_live(self) -> None:
        """The best first, as far as the queue takes them."""
        waiting = sorted(self._backlog, key=lambda row: (-row[0], row[1]))
        for row in waiting:
            if not self._put(row[2], row[3], row[4]):
                break
            self._backlog.remove(row)
            heapq.heapify(self._backlog)

    def _put(self, job: Job, payload: str, images: dict[str, bytes]) -> bool:
        if job.id in self._sent:
            self.duplicates += 1
            return True
        reply = self._queue.put(job.id, payload, images, job.priority)
        if reply == "full":
            return False
        self._sent.add(job.id)
        if reply == "duplicate":
            self.duplicates += 1
            self._take(one for one in self._queue.find([job.id]).values() if not self._once_more(one))
            if self._again == "all" and self._queue.forget(job.id):
                self._sent.discard(job.id)
                return self._put(job, payload, images)
        return True

    def _once_more(self, ended: Finished) -> bool:
        """Whether an ended job is worked on again instead of being the answer."""
        if ended.result is None:
            return self._again != "no" and bool(self._queue.retry_dead([ended.id])[0])
        return self._again == "all"

    def _collect(self, block_s: float) -> None:
        if self._sent:
            self._cursor, ended = self._queue.results(self._cursor, block_s, only=self._sent)
            self._take(ended)
            now = time.monotonic()
            if ended:
                self._asked = now
            elif now - self._asked > LOST_AFTER_S:
                self._asked = now
                for job_id in self._queue.lost(sorted(self._sent)):
                    self._sent.discard(job_id)
                    self._ready.append(unexplained(job_id, LOST))

    def _take(self, ended: Iterable[Finished]) -> None:
        for one in ended:
            if one.id in self._sent:  # looked up and seen in the stream: once is enough
                self._sent.discard(one.id)
                self._ready.append(_result(one))


def unexplained(job_id: str, reason: str) -> Result:
    """A Result for a job that no backend answered."""
    return Result(
        id=job_id, cot=None, verified=False, reasons=(reason,), backend="none", model="", revision="", order="none",
        attempts=0, tokens=0, latency_s=0.0, worker="",
    )  # fmt: skip


def _result(one: Finished) -> Result:
    if one.result is None:
        return unexplained(one.id, f"given up by the workers: {one.reason}")
    try:
        return from_json(Result, one.result)
    except PayloadInvalid as error:
        return unexplained(one.id, f"the worker's answer cannot be read: {error}")
