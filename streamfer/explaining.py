"""The analysis' side of the explanations: sends events to ExpLLM workers, collects what comes back.

With `queue.url` the workers are somewhere else already. Without it a private Valkey and one worker process are
started with the first event, and ended with the run: the same code path, nothing to install. An explanation
never stops an analysis: when the queue cannot be reached the reason is kept in `failed`, the events are on disk,
and `streamfer explain OUT` finishes them later.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import IO, TYPE_CHECKING

from streamfer.config import Config, mask
from streamfer.errors import ExplainError, ModelError, QueueError, StreamferError, UsageError
from streamfer.records import Event, Job, KeyFrame, Result

if TYPE_CHECKING:
    import numpy as np

    from streamfer.jobs.client import Again, ExplainClient

log = logging.getLogger(__name__)

_STOP_WORKER_S = 5.0
"""Time a private worker gets to end after SIGTERM before it is killed."""


class Explainer:
    """Submits events and polls for results. A context manager that leaves no process behind."""

    def __init__(self, config: Config, again: Again = "no") -> None:
        """`again`: what the queue is to explain once more although it has ended there (jobs/client.py)."""
        self._config, self._again = config, again
        self._stack = contextlib.ExitStack()
        self._client: ExplainClient | None = None
        self._worker: subprocess.Popen[bytes] | None = None
        self._worker_log: IO[bytes] | None = None
        self._waiting: set[str] = set()
        self.failed: StreamferError | None = None

    def __enter__(self) -> Explainer:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stack.close()

    def submit(self, event: Event, pictures: Sequence[tuple[KeyFrame, np.ndarray]]) -> None:
        """Queue one event with its pictures; waits while the queue is full, as a file may."""
        if self.failed is not None:
            return
        try:
            if self._client is None:
                self._connect()
            job = Job(event.id, event, tuple(key for key, _ in pictures), time.time())
            assert self._client is not None
            self._client.submit(job, {key.role: image for key, image in pictures})
            self._waiting.add(event.id)
        except QueueError as error:
            self._fail(error)

    def poll(self) -> list[Result]:
        """Results that have come since the last call; does not wait."""
        if not self._waiting or self.failed is not None:
            return []
        try:
            assert self._client is not None
            return self._took(self._client.poll())
        except QueueError as error:
            self._fail(error)
            return []

    def finish(self, stop: threading.Event | None = None) -> Iterator[Result]:
        """Wait for everything that was submitted, at most `explain.timeout_s` without any progress; results as they come, so that
        what is there can be written before the rest is."""
        last = time.monotonic()
        while self._waiting and self.failed is None and not (stop and stop.is_set()):
            try:
                self._check_worker()
            except StreamferError as error:
                self._fail(error)
                break
            new = self.poll()
            yield from new
            if new:
                last = time.monotonic()
            elif time.monotonic() - last > self._config.explain.timeout_s:
                log.warning(
                    "%d explanations did not come within %.0f s", len(self._waiting), self._config.explain.timeout_s
                )
                break
            else:
                time.sleep(0.02)
        self._waiting.clear()

    def _check_worker(self) -> None:
        """Raises the error of its exit code when the private worker has ended, with the last thing that it said."""
        if self._worker is None or self._worker.poll() is None:
            return
        assert self._worker_log is not None
        self._worker_log.seek(0)
        said = self._worker_log.read().decode(errors="replace").strip().splitlines()
        code = self._worker.returncode
        kind = {error.exit_code: error for error in (UsageError, ModelError, ExplainError)}.get(code, QueueError)
        raise kind(
            f"the explanation worker ended with exit code {code}: {(said or ['no word'])[-1].removeprefix('streamfer: ')}"
        )

    def _took(self, results: list[Result]) -> list[Result]:
        mine = [result for result in results if result.id in self._waiting]
        self._waiting.difference_update(result.id for result in mine)
        return mine

    def _fail(self, error: StreamferError) -> None:
        log.warning("%s", error)
        self.failed = error

    def _connect(self) -> None:
        from streamfer.jobs.client import ExplainClient
        from streamfer.jobs.queue import open_queue

        url = self._config.queue.url
        if url is None:
            from streamfer.jobs.embedded import EmbeddedServer

            server = self._stack.enter_context(EmbeddedServer())
            url = server.url
            self._start_worker(url)
        else:
            log.info("explanations by the workers at %s", mask(url))
        self._client = ExplainClient(
            open_queue(self._config.queue, "explain", url),
            jpeg_quality=self._config.queue.jpeg_quality,
            again=self._again,
        )

    def _start_worker(self, url: str) -> None:
        from streamfer.config import to_yaml

        # the whole configuration goes along, so that the private worker explains with the same options
        config_file = self._stack.enter_context(_temporary_file(to_yaml(self._config)))
        self._worker_log = self._stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
        self._worker = subprocess.Popen(
            [sys.executable, "-m", "workers.expllm", "--redis", url, "--config", config_file, "--with-parent"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._worker_log,
            start_new_session=True,  # Ctrl-C is for the analysis, which ends its worker itself
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
        self._stack.callback(self._stop_worker)

    def _stop_worker(self) -> None:
        assert self._worker is not None
        self._worker.terminate()
        try:
            self._worker.wait(_STOP_WORKER_S)
        except subprocess.TimeoutExpired:
            self._worker.kill()
            self._worker.wait()


@contextlib.contextmanager
def _temporary_file(text: str) -> Iterator[str]:
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        yield file.name
