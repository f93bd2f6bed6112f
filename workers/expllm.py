"""The ExpLLM worker: takes jobs in batches, has them explained by one backend call, stores one result for each.

Reads top to bottom: `run` is the loop, the functions below are its steps. It ends with

    0    stopped by a signal, nothing in hand (or `once` and the queue is empty)
    5    the backend or its model is not there, or fails altogether: its jobs go back untried
    6    no queue at the start
    7    the backend cannot explain at all now (its own server is away): its jobs go back untried
    130  second signal: left at once, the leases return the jobs in hand; or the parent of a private run is gone

A server that goes away later is waited for. A job that cannot be read goes to the dead letters at once, and so does one for
which the backend has no text, with its reasons (`streamfer explain` and `streamfer dead retry` ask again); one that fails
in the backend is tried again, by itself, up to `queue.max_deliveries`; one that kills this process is found by the next
worker when the lease runs out, and is delivered alone from then on.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import click

from streamfer.config import Config
from streamfer.errors import EXIT_DONE, ExplainError, ModelError, PayloadInvalid, QueueUnreachable
from streamfer.jobs.images import decode
from streamfer.jobs.interface import Claimed, JobQueue, cut_reason
from streamfer.jobs.worker import (
    BLOCK_S,
    START_PATIENCE_S,
    Heartbeat,
    Janitor,
    connect_patiently,
    consumer_name,
    end_with_parent,
    forgiving,
    one_line,
    patiently,
    stop_on_signals,
)
from streamfer.records import Job, Result, from_json, to_json
from workers import entry, worker_options

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger("streamfer.workers.expllm")


class Explains(Protocol):
    """What the worker needs of a backend (streamfer/expllm/backends)."""

    name: str

    def explain(self, jobs: list[Job], images: list[dict[str, np.ndarray]]) -> list[Result]: ...


def run(
    config: Config, queue: JobQueue | str | None, backend: Explains | None = None, *, once: bool = False,
    health: Path | None = None, stop: threading.Event | None = None, start_patience_s: float = START_PATIENCE_S,
) -> int:
    """Work until a signal (or `stop`, for a worker in a thread) and return the exit code.

    `queue` is a queue, an address, or None for `config.queue.url`; `backend` None loads `config.explain.backend`.
    `once` returns when there is nothing left to take. `health` is a file touched on each turn of the loop.
    Raises ModelError or ExplainError when the backend cannot be loaded or cannot work any more, QueueUnreachable when
    there is no server at the start.
    """
    if backend is None:
        backend = _load(config)
    with stop_on_signals() as signalled:
        stop = stop or signalled
        if queue is None or isinstance(queue, str):
            queue = connect_patiently(config, "explain", queue, stop, start_patience_s)
        me, janitor = consumer_name(), Janitor(queue)
        log.info("worker %s: backend %s, batches of %d", me, backend.name, config.explain.batch)
        with Heartbeat(queue, me) as beat:
            while not stop.is_set():
                if health is not None:
                    health.touch()
                batch = _take(queue, me, config, stop, once)
                if not batch and once:
                    break
                beat.hold([job.entry for job in batch])
                if stop.is_set():  # taken, not begun: somebody else may have them at once
                    queue.release([job.entry for job in batch])
                elif batch:
                    try:
                        _work(queue, batch, backend, me, beat)
                    except (ModelError, ExplainError):
                        # this worker cannot work; going on would turn the whole queue into dead letters
                        _give_back(queue, batch, me)
                        raise
                    forgiving(janitor.look)
            forgiving(lambda: queue.leave(me))
    log.info("worker %s: stopped, nothing in hand", me)
    return EXIT_DONE


def _load(config: Config) -> Explains:
    """The backend, after the options were checked: it may take long."""
    import gc

    gc.disable()  # imports make some 100,000 objects that stay: looking through them again and again is a twentieth of the start
    try:
        from streamfer.expllm.backends import load

        return load(config.explain.backend, config.explain)
    finally:
        gc.freeze()
        gc.enable()


def _take(queue: JobQueue, me: str, config: Config, stop: threading.Event, once: bool) -> list[Claimed]:
    """One batch: what is there now, and what comes within `explain.wait_s` when that is less than a batch."""
    size, block_s = config.explain.batch, 0.0 if once else BLOCK_S
    batch = patiently(lambda: queue.get(me, size, block_s), "taking jobs", stop.is_set) if not stop.is_set() else []
    if not batch or batch[0].deliveries > 1:
        return batch  # a job that came back works alone: it may be the one that killed its worker
    deadline = time.monotonic() + config.explain.wait_s
    while len(batch) < size and not stop.is_set() and (left := deadline - time.monotonic()) > 0:
        try:
            more = queue.get(me, size - len(batch), left, fresh_only=True)
        except QueueUnreachable:
            break  # work on what there is; the next turn waits for the server
        batch += more
    return batch


def _work(
    queue: JobQueue, batch: Sequence[Claimed], backend: Explains, me: str, beat: Heartbeat
) -> None:
    """Validate, explain, store; one line in the log. After this none of the batch is in hand.

    Raises what the backend raises when it cannot work at all; what it did not answer is then still in hand.
    """
    began = time.monotonic()
    waited_s = max(0.0, time.time() - min(job.put_unix_s for job in batch))
    outcomes = {"done": 0, "late": 0, "retry": 0, "dead": 0, "gone": 0}

    def end(claimed: Claimed, call: Callable[[], str]) -> None:
        # for as long as it takes: a result that is ready must not be worked out twice
        outcomes[patiently(call, f"storing the outcome of {claimed.id}")] += 1
        beat.drop(claimed.entry)

    good: list[tuple[Claimed, Job, dict[str, np.ndarray]]] = []
    for claimed in batch:
        try:
            good.append((claimed, *_read(claimed)))
        except PayloadInvalid as error:
            log.error("job %s is invalid: %s", claimed.id, error)
            end(claimed, lambda c=claimed, r=str(error): queue.fail(c.entry, c.id, r, retry=False))  # type: ignore[misc]

    for claimed, answer in _explain(backend, good):
        if isinstance(answer, Exception):
            end(claimed, lambda c=claimed, e=answer: queue.fail(c.entry, c.id, one_line(e), retry=True))  # type: ignore[misc]
            continue
        if answer.cot is None:  # it would be no other the next time; as a dead letter it is seen and can be asked again
            reason = f"{answer.backend}: {'; '.join(answer.reasons) or 'no text'}"
            end(claimed, lambda c=claimed, r=reason: queue.fail(c.entry, c.id, cut_reason(r), retry=False))  # type: ignore[misc]
            continue
        result = to_json(answer if answer.worker else replace(answer, worker=me))
        try:
            end(claimed, lambda c=claimed, r=result: "done" if queue.finish(c.entry, c.id, r) else "late")  # type: ignore[misc]
        except PayloadInvalid as error:  # the result is too large: it would be too large again
            end(claimed, lambda c=claimed, r=str(error): queue.fail(c.entry, c.id, r, retry=False))  # type: ignore[misc]
    took_s = time.monotonic() - began
    log.info("batch of %d: %s; oldest waited %.2f s, took %.2f s, %.1f/s", len(batch),
             ", ".join(f"{name} {count}" for name, count in outcomes.items() if count), waited_s, took_s,
             len(batch) / max(took_s, 1e-6))  # fmt: skip


def _give_back(queue: JobQueue, batch: Sequence[Claimed], me: str) -> None:
    forgiving(lambda: queue.release([job.entry for job in batch]))
    forgiving(lambda: queue.leave(me))


def _read(claimed: Claimed) -> tuple[Job, dict[str, np.ndarray]]:
    """The job and its pictures. Raises PayloadInvalid, which no second try can heal."""
    job = from_json(Job, claimed.payload)
    if job.id != claimed.id:
        raise PayloadInvalid(f"its JSON carries another id, {job.id!r}")
    missing = {picture.role for picture in job.images} - set(claimed.images)
    if missing:
        raise PayloadInvalid(f"its pictures {sorted(missing)} are missing")
    images = {}
    for role, data in claimed.images.items():
        try:
            images[role] = decode(data)
        except PayloadInvalid as error:
            raise PayloadInvalid(f"picture '{role}': {error}") from None
    return job, images


def _explain(
    backend: Explains, good: list[tuple[Claimed, Job, dict[str, np.ndarray]]]
) -> list[tuple[Claimed, Result | Exception]]:
    """One backend call for all; if that raises, one for each, so that one bad job cannot take the others with it."""
    if not good:
        return []
    try:
        answers: list[Result | Exception] = list(_call(backend, good))
    except (ModelError, ExplainError):
        raise
    except Exception as error:  # what a backend does with a job must not stop the worker; the reason goes with the job
        log.error("backend %s failed on a batch of %d: %s", backend.name, len(good), one_line(error))
        if len(good) == 1:
            answers = [error]
        else:
            answers = []
            for one in good:
                try:
                    answers += _call(backend, [one])
                except (ModelError, ExplainError):
                    raise
                except Exception as single:
                    log.error("backend %s failed on job %s: %s", backend.name, one[0].id, one_line(single))
                    answers.append(single)
    return [(claimed, answer) for (claimed, _, _), answer in zip(good, answers, strict=True)]


def _call(backend: Explains, good: Sequence[tuple[Claimed, Job, dict[str, np.ndarray]]]) -> list[Result]:
    results = backend.explain([job for _, job, _ in good], [images for _, _, images in good])
    if [result.id for result in results] != [job.id for _, job, _ in good]:
        raise ValueError(f"backend {backend.name} gave {len(results)} results for {len(good)} jobs or mixed them up")
    return results


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@worker_options(health="turn")
def main(
    url: str | None, config_path: str | None, assignments: tuple[str, ...], health: Path | None, **flags: bool
) -> int:
    """Take explanation jobs from a queue until stopped (SIGTERM: finish the batch in hand; twice: leave at once)."""
    from streamfer.config import load, parse_assignment

    if flags["with_parent"]:
        end_with_parent(os.getppid())
    config, _ = load(config_path, dict(parse_assignment(text) for text in assignments))
    return run(config, url, once=flags["once"], health=health)


if __name__ == "__main__":
    entry(main)
