"""What passes through a queue, and the interface that `Queue` (Redis) and `MemoryQueue` (in process) both keep.

The promise of both, held by one shared test-suite: delivery at least once, exactly one stored result for each job id,
and every job that was accepted ends either as a result or as a dead letter with its reason. Neither knows what a job
means: payloads are checked against their record (`RECORDS`) when they come in, and workers check them again.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from streamfer.errors import PayloadInvalid
from streamfer.records import Job, VideoJob, from_json

Topic = Literal["explain", "video"]
Priority = Literal["live", "batch"]
Put = Literal["queued", "duplicate", "full"]

PRIORITIES: tuple[Priority, ...] = ("live", "batch")
"""In the order in which workers serve them."""

RECORDS: dict[Topic, Any] = {"explain": Job, "video": VideoJob}
"""What a payload of each topic must be."""

#: Bytes of JSON in one job. An event with all 40 AUs and 20 regions is about 6 kB.
PAYLOAD_LIMIT = 256 * 1024
#: Bytes of JSON in one result.
RESULT_LIMIT = 256 * 1024
#: Bytes of one picture. 2048 px square as JPEG 4:4:4 is below 3 MB.
IMAGE_LIMIT = 4 * 1024 * 1024
#: Pictures of one job.
IMAGES_LIMIT = 12
#: Characters of a reason kept with a job; a traceback is cut to its end.
REASON_LIMIT = 2000
#: Seconds that dead letters are kept.
DEAD_KEEP_S = 7 * 86400.0
#: A worker without jobs that has been silent for so many seconds is forgotten.
CONSUMER_IDLE_S = 3600.0
#: After so many seconds without an ending, who waits asks the queue whether it still knows the jobs.
LOST_AFTER_S = 5.0
#: Seconds before a failed job may be tried again (never more than its lease).
RETRY_AFTER_S = 1.0

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}")
_IMAGE_NAME = re.compile(r"[a-z0-9_]{1,32}")


class Entry(NamedTuple):
    """One delivery of one job: which stream, which entry of it, and to whom. Opaque to workers."""

    priority: Priority
    stream_id: str  # "<unix ms>-<n>": also the time at which the job was put
    consumer: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """A job in the hands of a worker, until its lease runs out. `deliveries` counts this one."""

    entry: Entry
    id: str
    payload: str
    images: dict[str, bytes]
    deliveries: int

    @property
    def priority(self) -> Priority:
        return self.entry.priority

    @property
    def put_unix_s(self) -> float:
        return int(self.entry.stream_id.partition("-")[0]) / 1000


@dataclass(frozen=True, slots=True)
class Finished:
    """How a job ended: with a result, or (`result` None) in the dead letters for `reason`.

    `cursor` is the place in the order of endings, to go on from with `results(after=cursor)`; "" when it was looked
    up by id.
    """

    cursor: str
    id: str
    result: str | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A job that was given up."""

    id: str
    payload: str
    reason: str
    deliveries: int
    priority: Priority
    died_unix_s: float


@dataclass(frozen=True, slots=True)
class Consumer:
    """A worker as the queue sees it."""

    name: str
    pending: int
    idle_s: float


@dataclass(frozen=True, slots=True)
class QueueStatus:
    waiting: int  # nobody has them yet
    pending: int  # in the hands of workers
    oldest_s: float  # age of the oldest job that has not ended; 0 when there is none
    consumers: tuple[Consumer, ...]
    dead: int
    results: int
    memory_bytes: int  # of the whole server; 0 for MemoryQueue
    memory_limit_bytes: int  # 0 = none


class JobQueue(Protocol):
    """The interface. Times are seconds; every method may raise QueueUnreachable."""

    topic: Topic
    lease_s: float

    def put(self, job_id: str, payload: str, images: Mapping[str, bytes], priority: Priority = "batch") -> Put: ...
    def get(
        self, consumer: str, count: int = 1, block_s: float = 0.0, *, fresh_only: bool = False
    ) -> list[Claimed]: ...
    def renew(self, consumer: str, entries: Sequence[Entry]) -> list[Entry]: ...
    def finish(self, entry: Entry, job_id: str, result: str) -> bool: ...
    def fail(
        self, entry: Entry, job_id: str, reason: str, retry: bool, *, after_s: float = RETRY_AFTER_S
    ) -> Literal["dead", "retry", "gone"]: ...
    def release(self, entries: Sequence[Entry]) -> int: ...
    def results(
        self, after: str = "0", block_s: float = 0.0, only: Collection[str] | None = None
    ) -> tuple[str, list[Finished]]: ...
    def end(self) -> str: ...
    def find(self, ids: Sequence[str]) -> dict[str, Finished]: ...
    def lost(self, ids: Sequence[str]) -> list[str]: ...
    def wait(self, ids: Collection[str], timeout_s: float) -> dict[str, Finished]: ...
    def forget(self, job_id: str) -> bool: ...
    def dead(self) -> list[DeadLetter]: ...
    def retry_dead(self, ids: Collection[str] | None = None) -> tuple[list[str], list[str]]: ...
    def status(self) -> QueueStatus: ...
    def janitor(self, idle_s: float = CONSUMER_IDLE_S) -> list[str]: ...
    def leave(self, consumer: str) -> bool: ...


def check_put(topic: Topic, job_id: str, payload: str, images: Mapping[str, bytes]) -> None:
    """Refuse what a worker could not use. Raises PayloadInvalid naming the job and what is wrong with it."""
    if not _ID.fullmatch(job_id):
        raise PayloadInvalid(f"job id {job_id[:140]!r} must be 1-128 letters, digits or any of _.:- and begin with "
                             "a letter or digit")
    _check_size(f"job {job_id}: its JSON", payload, PAYLOAD_LIMIT)
    if len(images) > IMAGES_LIMIT:
        raise PayloadInvalid(f"job {job_id} has {len(images)} pictures, {IMAGES_LIMIT} at most")
    for name, data in images.items():
        if not _IMAGE_NAME.fullmatch(name):
            raise PayloadInvalid(f"job {job_id}: picture name {name[:40]!r} must be 1-32 of a-z, 0-9 and _")
        _check_size(f"job {job_id}: picture '{name}'", data, IMAGE_LIMIT)
    try:
        record = from_json(RECORDS[topic], payload)
    except PayloadInvalid as error:
        raise PayloadInvalid(f"job {job_id}: {error}") from None
    if record.id != job_id:
        raise PayloadInvalid(f"job {job_id}: its JSON carries another id, {record.id!r}")
    named = {picture.role for picture in getattr(record, "images", ())}
    if named != set(images):
        raise PayloadInvalid(f"job {job_id} names the pictures {sorted(named)} but comes with {sorted(images)}")


def check_result(job_id: str, result: str) -> None:
    """Raises PayloadInvalid when a result is too large to be kept."""
    _check_size(f"the result of job {job_id}", result, RESULT_LIMIT)


def cut_reason(reason: str) -> str:
    """What can be kept of a reason: never empty, UTF-8, and of a long one the end (a traceback's last line)."""
    reason = reason.encode("utf-8", "replace").decode().strip() or "no reason given"
    return reason if len(reason) <= REASON_LIMIT else "… " + reason[-REASON_LIMIT:]


def _check_size(what: str, data: str | bytes, limit: int) -> None:
    try:
        size = len(data.encode() if isinstance(data, str) else data)
    except UnicodeEncodeError as error:
        raise PayloadInvalid(f"{what} is not UTF-8 ({error.reason})") from None
    if size > limit:
        raise PayloadInvalid(f"{what} has {size} bytes, {limit} at most")
