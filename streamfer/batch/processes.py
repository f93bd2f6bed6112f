"""Clips over processes of this machine: `over_processes`, and the process itself (`python -m streamfer.batch.processes`).

Each process takes one clip after the other through a pipe. A pool of the standard library is not used because it ends
with the first process that dies: a fault in a decoder's native code, or the kernel short of memory, must cost one clip
and not the run. So a process that is gone is one failed clip, and another takes its place.

Processes are new programs (nothing is forked: MediaPipe and OpenCV have threads). They get their share of the cores:
decoders, BLAS and OpenMP start no more threads than that. They are in sessions of their own, so Ctrl-C reaches only this
one, which asks the others to stop after their frame; when this one is killed they leave by themselves.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait

from streamfer.batch.clip import ClipEnd, ClipJob, ClipRunner
from streamfer.config import Config
from streamfer.errors import EXIT_FAILED, EXIT_INTERRUPTED
from streamfer.output import What
from streamfer.video.source import CORES_ENV, usable_cores

log = logging.getLogger(__name__)

_LOOK_S = 0.25
_STOP_S = 30.0
"""Time a process gets to end its frame and its files after it was asked to stop."""
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def over_processes(
    jobs: Sequence[ClipJob], config: Config, *, what: What, processes: int | None, command: str
) -> Iterator[ClipEnd]:
    """The ending of each clip, as they come. `processes` None is one per usable core. After SIGINT or SIGTERM the clips
    in work end as interrupted and the others do not come at all."""
    from streamfer.runs import stop_on_signals

    count = min(processes or usable_cores(), len(jobs))
    cores = max(1, usable_cores() // max(1, count))
    waiting = deque(jobs)
    workers = [_Process(config, what, command, cores) for _ in range(count)]
    asked = False
    try:
        with stop_on_signals() as stop:
            for worker in workers:
                worker.give(waiting)
            while busy := [worker for worker in workers if worker.job is not None]:
                if stop.is_set() and not asked:
                    asked = True
                    waiting.clear()
                    for worker in busy:
                        worker.ask_to_stop()
                ready = wait([worker.pipe for worker in busy], _LOOK_S)
                for worker in busy:
                    if worker.pipe not in ready:
                        continue
                    end = worker.take(asked)
                    if end.fatal:
                        waiting.clear()
                    if worker.gone and waiting:
                        worker.close()
                        workers[workers.index(worker)] = worker = _Process(config, what, command, cores)
                    worker.give(waiting)
                    yield end
    finally:
        for worker in workers:
            worker.close()


class _Process:
    """One process and the clip it has in hand."""

    def __init__(self, config: Config, what: What, command: str, cores: int) -> None:
        ours, theirs = socket.socketpair()
        self.pipe = Connection(ours.detach())
        self.job: ClipJob | None = None
        self.gone = False
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "streamfer.batch.processes", str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env={**dict.fromkeys(_THREADS, str(cores)), **os.environ, CORES_ENV: str(cores)},
            )
        self._send((config, what, command, logging.getLogger("streamfer").level))

    def give(self, waiting: deque[ClipJob]) -> None:
        """The next clip, unless there is none or the process is gone."""
        self.job = None
        if waiting and not self.gone:
            self.job = waiting.popleft()
            self._send(self.job)

    def take(self, stopping: bool) -> ClipEnd:
        """How the clip in hand ended, also when its process did."""
        assert self.job is not None
        try:
            end = self.pipe.recv()
            assert isinstance(end, ClipEnd)
            return end
        except (EOFError, OSError):
            self.gone = True
        code = self._process.wait()
        if stopping:
            return ClipEnd(self.job, EXIT_INTERRUPTED, "interrupted: --resume goes on")
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return ClipEnd(self.job, EXIT_FAILED, f"the process that analysed it {how}; --resume tries again")

    def ask_to_stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def close(self) -> None:
        """Without a pipe the process ends by itself; one that is in the middle of a clip is asked to."""
        self.pipe.close()
        if self.job is not None and not self.gone:
            self.ask_to_stop()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            log.warning("a process of the batch did not stop within %.0f s and is killed", _STOP_S)
            self._process.kill()
            self._process.wait()

    def _send(self, message: object) -> None:
        try:
            self.pipe.send(message)
        except OSError:  # it is gone already: `take` will find out and say how
            pass


def main() -> None:
    from streamfer.cli._common import setup_logging
    from streamfer.jobs.worker import end_with_parent

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipe, parent = Connection(int(sys.argv[1])), int(sys.argv[2])
    end_with_parent(parent)
    try:
        config, what, command, level = pipe.recv()
        setup_logging("text", verbose=level == logging.DEBUG)
        if level != logging.DEBUG:  # the batch itself says how far it is
            logging.getLogger("streamfer").setLevel(logging.ERROR)
        with ClipRunner(config, what, command) as runner:
            while True:
                pipe.send(runner.run(pipe.recv()))
    except (EOFError, BrokenPipeError):  # the batch has no more clips, or has ended
        return


if __name__ == "__main__":
    main()
