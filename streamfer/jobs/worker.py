"""What every worker needs around its loop: signs of life, signals, patience with the server, an end with the parent.

The rules (research: dramatiq, rq): a held job is renewed by a thread, so that a lease may be short although a job takes
hours; the first SIGTERM or SIGINT lets the work in hand end, the second leaves at once (the lease returns the jobs);
a lost server is waited for, because a result that is ready must not be worked out twice.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from streamfer.config import Config
from streamfer.errors import EXIT_INTERRUPTED, QueueError, QueueUnreachable
from streamfer.jobs.interface import Entry, JobQueue, Topic
from streamfer.jobs.queue import open_queue

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Seconds between two looks for the server when it is gone, and between two lines about it in the log.
RETRY_S, REPORT_S = 1.0, 30.0
#: Seconds between two looks whether the parent is still there.
PARENT_S = 0.5
#: Seconds to wait for a server that does not answer when a worker starts (containers start in any order).
START_PATIENCE_S = 60.0
#: Longest wait for a job before a loop looks around (signals, health file, leases of others that ran out).
BLOCK_S = 0.25
#: The janitor runs so often in each worker; it is cheap.
JANITOR_S = 300.0


def consumer_name() -> str:
    """Host, process and time: a new process is a new consumer even when a container gives it the same process id."""
    return f"{socket.gethostname()}-{os.getpid()}-{time.time_ns() // 1_000_000 % 10**9:09d}"


class Heartbeat:
    """A thread that renews the leases of what is held, three times within each lease.

    `with Heartbeat(queue, me) as beat: beat.hold(entries) ... beat.drop(entry)`. It touches `health` (a file) at each
    beat. It proves that the process lives, not that its work goes on: that is for the supervisor's time limit.
    """

    def __init__(self, queue: JobQueue, consumer: str, health: Path | None = None) -> None:
        self._queue, self._consumer, self._health = queue, consumer, health
        self._held: set[Entry] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def hold(self, entries: Sequence[Entry]) -> None:
        with self._lock:
            self._held.update(entries)

    def drop(self, entry: Entry) -> None:
        with self._lock:
            self._held.discard(entry)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(timeout=5)

    def _beat(self) -> None:
        while not self._stop.wait(self._queue.lease_s / 3):
            if self._health is not None:
                self._health.touch()
            with self._lock:
                held = list(self._held)
            try:
                kept = set(self._queue.renew(self._consumer, held))
            except QueueError as error:
                log.warning("heartbeat: %s", error)
                continue
            with self._lock:
                lost = [entry for entry in held if entry not in kept and entry in self._held]
                self._held.difference_update(lost)
            if lost:
                log.warning("lost the lease of %d job(s) to another worker (frozen for longer than %g s?); "
                            "their results will count only if they come first", len(lost), self._queue.lease_s)


@contextmanager
def stop_on_signals(on_first: Callable[[], None] | None = None) -> Iterator[threading.Event]:
    """SIGTERM or SIGINT sets the event (and calls `on_first`), the second one ends the process at once with 130.

    In a thread other than the main one it installs nothing: then the caller sets the event.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handle(number: int, _frame: object) -> None:
        if stop.is_set():
            # no logging here: the signal may have come while the log's lock was held
            os.write(2, b"second signal: leaving at once, the leases return the jobs in hand\n")
            os._exit(EXIT_INTERRUPTED)
        stop.set()
        os.write(2, f"{signal.Signals(number).name}: finishing the work in hand; once more to leave at once\n".encode())
        if on_first is not None:
            on_first()

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_with_parent(parent: int) -> None:
    """Leave at once when the process that started this one is gone: a private queue is gone with it."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_S)
        os.write(2, b"the analysis that started this worker is gone: leaving\n")
        os._exit(EXIT_INTERRUPTED)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def patiently(call: Callable[[], T], what: str, give_up: Callable[[], bool] | None = None) -> T:
    """Call until the server answers. `give_up` is asked after each try; when it says yes QueueUnreachable is raised."""
    began, reported, failed = time.monotonic(), 0.0, False
    while True:
        try:
            done = call()
        except QueueUnreachable as error:
            if give_up is not None and give_up():
                raise
            if not failed or time.monotonic() - reported >= REPORT_S:
                log.warning("%s; %s is tried again every %g s until it answers (%.0f s so far)",
                            error, what, RETRY_S, time.monotonic() - began)
                failed, reported = True, time.monotonic()
            time.sleep(RETRY_S)
        else:
            if failed:
                log.warning("the queue answers again after %.0f s", time.monotonic() - began)
            return done


def connect_patiently(
    config: Config, topic: Topic, url: str | None, stop: threading.Event, patience_s: float
) -> JobQueue:
    """The queue of `url` or of the config. Raises QueueUnreachable after `patience_s`, or when `stop` is set."""
    deadline = time.monotonic() + patience_s
    return patiently(lambda: open_queue(config.queue, topic, url), "connecting",
                     lambda: stop.is_set() or time.monotonic() > deadline)


def forgiving(call: Callable[[], object]) -> None:
    """For what another worker or a later time will do as well."""
    try:
        call()
    except QueueError as error:
        log.warning("%s", error)


def one_line(error: Exception) -> str:
    """What happened, and where in the code, on one line."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text or 'no message'}{where}"


class Janitor:
    """Calls `queue.janitor` every five minutes when asked often."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue, self._next = queue, time.monotonic() + JANITOR_S

    def look(self) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + JANITOR_S
            if gone := self._queue.janitor():
                log.info("forgot %d worker(s) that were gone: %s", len(gone), ", ".join(gone))
