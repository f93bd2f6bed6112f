"""How jobs ended: reading results and dead jobs in their order, by id, or waiting for them. The keys: see queue.py."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from streamfer.jobs.interface import Finished, JobQueue

if TYPE_CHECKING:
    from streamfer.jobs.queue import Keys

#: Endings in one answer.
PAGE = 1000


def results(
    client: Any, keys: Keys, after: str, block_s: float, only: Collection[str] | None
) -> tuple[str, list[Finished]]:
    block = {"block": max(1, round(block_s * 1000))} if block_s > 0 else {}
    page = rows(client.xread({keys.results: after}, count=PAGE, **block))
    if not page:
        return after, []
    ended = [(cursor.decode(), fields[b"id"].decode(), fields[b"reason"].decode()) for _, cursor, fields in page]
    wanted = [row for row in ended if only is None or row[1] in only]
    texts = _results_of(client, keys, [job_id for _, job_id, reason in wanted if not reason])
    found = []
    for cursor, job_id, reason in wanted:
        if reason:
            found.append(Finished(cursor, job_id, None, reason))
        elif (text := texts.get(job_id)) is not None:  # else it is older than ttl_s and forgotten
            found.append(Finished(cursor, job_id, text))
    return ended[-1][0], found


def end(client: Any, keys: Keys) -> str:
    last = client.xrevrange(keys.results, count=1)
    return str(last[0][0].decode()) if last else "0"


def find(client: Any, keys: Keys, ids: Sequence[str]) -> dict[str, Finished]:
    found = {job_id: Finished("", job_id, text) for job_id, text in _results_of(client, keys, ids).items()}
    missing = [job_id for job_id in ids if job_id not in found]
    if missing:
        states = client.mget([keys.of(job_id)[1] for job_id in missing])
        for job_id, state in zip(missing, states, strict=True):
            if state is not None and state.startswith(b"dead "):
                found[job_id] = Finished("", job_id, None, state[5:].decode())
    return found


def lost(client: Any, keys: Keys, ids: Sequence[str]) -> list[str]:
    def unmarked(some: Sequence[str]) -> list[str]:
        states = client.mget([keys.of(job_id)[1] for job_id in some]) if some else []
        return [job_id for job_id, state in zip(some, states, strict=True) if state is None]

    missing = unmarked(ids)
    if not missing:
        return []
    # a mark may only be too old (ttl_s); what ends while the streams are read has one again
    there = {fields.get(b"id") for stream in keys.streams for _, fields in client.xrange(stream)}
    return unmarked([job_id for job_id in missing if job_id.encode() not in there])


def wait(queue: JobQueue, ids: Collection[str], timeout_s: float) -> dict[str, Finished]:
    cursor = queue.end()  # before looking, so that nothing slips between
    found = queue.find(list(ids))
    deadline = time.monotonic() + timeout_s
    while len(found) < len(set(ids)) and (left := deadline - time.monotonic()) > 0:
        cursor, ended = queue.results(cursor, left, only=ids)
        found.update((one.id, one) for one in ended)
    return found


def rows(reply: Any) -> list[tuple[bytes, bytes, dict[bytes, bytes]]]:
    """(stream, entry id, fields) of an XREAD or XREADGROUP reply."""
    return [(stream, stream_id, fields) for stream, entries in reply or () for stream_id, fields in entries]


def _results_of(client: Any, keys: Keys, ids: Sequence[str]) -> dict[str, str]:
    if not ids:
        return {}
    texts = client.mget([keys.of(job_id)[2] for job_id in ids])
    return {job_id: text.decode() for job_id, text in zip(ids, texts, strict=True) if text is not None}
