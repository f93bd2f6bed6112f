"""Clips over a Ray cluster (extra `ray`): one actor per core, each a `ClipRunner` as a process of this machine would be.

`address` "local" starts Ray on this machine and ends it with the run, "auto" joins the cluster that this machine belongs
to, anything else is Ray's own address. streamfer must be installed on every node, and data set and output folder must
be on storage that all of them see. An actor that dies costs its clip and is replaced. Ray's usage statistics are
off unless RAY_USAGE_STATS_ENABLED says otherwise: nothing leaves the machine.
"""

from __future__ import annotations

import logging
import os
import socket
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from streamfer.batch.clip import ClipEnd, ClipJob, ClipRunner
from streamfer.config import Config
from streamfer.errors import EXIT_FAILED, EXIT_INTERRUPTED, ExtraMissing, UsageError
from streamfer.output import What
from streamfer.video.source import CORES_ENV, usable_cores

log = logging.getLogger(__name__)

_LOOK_S = 0.5
_KNOCK_S = 5.0


class Actor:
    """A `ClipRunner` in a process of Ray's. Ray itself bounds OpenMP to the one core that the actor asks for."""

    def __init__(self, config: Config, what: What, command: str) -> None:
        os.environ[CORES_ENV] = "1"
        self._runner = ClipRunner(config, what, command)

    def run(self, job: ClipJob) -> ClipEnd:
        return self._runner.run(job)

    def close(self) -> None:
        self._runner.__exit__()


def over_ray(
    jobs: Sequence[ClipJob], config: Config, *, what: What, processes: int | None, address: str, command: str
) -> Iterator[ClipEnd]:
    """The ending of each clip, as they come. `processes` None is one actor per core of the cluster."""
    try:
        import ray
    except ImportError:
        raise ExtraMissing.of("ray", "ray", "--engine ray") from None
    from streamfer.runs import stop_on_signals

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        if address == "local":
            cores = processes or usable_cores()
            ray.init(address="local", num_cpus=cores, include_dashboard=False, logging_level=logging.WARNING)
        else:
            _knock(address)
            ray.init(address=address, logging_level=logging.WARNING)
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(
            f"Ray at {address} cannot be reached ({reason}): start it with `ray start`, or give --address local"
        ) from None
    try:
        with stop_on_signals() as stop:  # after ray.init, which sets a handler of its own
            cores = int(ray.cluster_resources().get("CPU", 1))
            yield from _run(ray, jobs, config, what, min(processes or cores, len(jobs)), command, stop)
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Raises OSError when nobody listens at HOST:PORT: Ray itself would try for more than a minute and then abort."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_S).close()


def _run(
    ray: Any, jobs: Sequence[ClipJob], config: Config, what: What, count: int, command: str, stop: Any
) -> Iterator[ClipEnd]:
    remote = ray.remote(num_cpus=1, max_restarts=0)(Actor)
    waiting = deque(jobs)
    busy: dict[Any, tuple[Any, ClipJob]] = {}  # the promised ending -> who works on what

    def give(actor: Any) -> None:
        if waiting:
            job = waiting.popleft()
            busy[actor.run.remote(job)] = (actor, job)
        else:
            actor.close.remote()  # ends its explanation worker; the process goes with its last reference

    for _ in range(count):
        give(remote.remote(config, what, command))
    while busy and not stop.is_set():
        ready, _ = ray.wait(list(busy), num_returns=1, timeout=_LOOK_S)
        for promise in ready:
            actor, job = busy.pop(promise)
            try:
                end = ray.get(promise)
            except ray.exceptions.RayError as error:
                reason = " ".join(str(error).split())[:300]
                end = ClipEnd(job, EXIT_FAILED, f"its Ray actor was lost ({reason}); --resume tries again")
                actor = remote.remote(config, what, command)
            if end.fatal:
                waiting.clear()
            give(actor)
            yield end
    for actor, job in busy.values():  # interrupted: what is on disk is whole, as after a kill
        ray.kill(actor)
        yield ClipEnd(job, EXIT_INTERRUPTED, "interrupted: --resume goes on")
