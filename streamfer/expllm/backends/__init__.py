"""Who writes the explanation: one interface, loaded by name.

A Backend gets jobs and their pictures and gives back one Result each, in order. It never raises for a single job (a
Result with `cot=None` and its `reasons` says what failed); it raises ModelError or ExplainError when it cannot work
at all. Backends are not thread-safe: one for each worker process.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Protocol

from streamfer.errors import UsageError
from streamfer.records import ChainOfThought, Job, Result

if TYPE_CHECKING:
    import numpy as np

    from streamfer import config

log = logging.getLogger(__name__)


class Backend(Protocol):
    """`name` of the backend, the `model` it runs with its `revision`, and the `order` of text and label."""

    name: str
    model: str
    revision: str
    order: Literal["cot_first", "label_first", "none"]

    def explain(self, jobs: list[Job], images: list[dict[str, np.ndarray]]) -> list[Result]:
        """One Result for each job, in order. `images[i]` has job i's pictures by role: (H, W, 3) uint8 RGB."""
        ...


class FakeBackend:
    """A Backend around a plain function, for tests and dry runs: `fn(job, images)` gives the chain of thought."""

    name = "fake"
    model = "function"
    revision = "0"
    order: Literal["cot_first", "label_first", "none"] = "cot_first"

    def __init__(self, fn: Callable[[Job, dict[str, np.ndarray]], ChainOfThought]) -> None:
        self._fn = fn

    def explain(self, jobs: list[Job], images: list[dict[str, np.ndarray]]) -> list[Result]:
        results = []
        for job, pictures in zip(jobs, images, strict=True):
            start = time.perf_counter()
            cot = self._fn(job, pictures)
            results.append(
                Result(
                    id=job.id,
                    cot=cot,
                    verified=False,
                    reasons=("made by a test double",),
                    backend=self.name,
                    model=self.model,
                    revision=self.revision,
                    order=self.order,
                    attempts=1,
                    tokens=0,
                    latency_s=time.perf_counter() - start,
                    worker="",
                )
            )
        return results


def load(name: str, settings: config.Explain) -> Backend:
    """The backend of that name. Raises UsageError naming the choices, or ModelError when its model is not there."""
    if name not in BACKENDS:
        raise UsageError(f"unknown explanation backend '{name}': choose one of {', '.join(BACKENDS)}")
    return BACKENDS[name](settings)


def _auto(settings: config.Explain) -> Backend:
    """ExpLLM's own small model, the composer for what it fails at, and for all where onnxruntime is not installed; says which."""
    import importlib.util

    if importlib.util.find_spec("onnxruntime") is None:
        log.info("explanations by the composer: onnxruntime is not installed (pip install 'streamfer[cpu]')")
        return _composer(settings)
    from streamfer.expllm.backends.auto import Auto

    return Auto(settings)


def _nano(settings: config.Explain) -> Backend:
    from streamfer.expllm.backends.nano import Nano

    return Nano(settings)


def _composer(settings: config.Explain) -> Backend:
    from streamfer.expllm.backends.composer import Composer

    return Composer(settings)


def _openai(settings: config.Explain) -> Backend:
    from streamfer.expllm.backends.openai import OpenAI

    return OpenAI(settings)


def _transformers(settings: config.Explain) -> Backend:
    from streamfer.expllm.backends.transformers import Transformers

    return Transformers(settings)


BACKENDS: dict[str, Callable[[config.Explain], Backend]] = {
    "auto": _auto,
    "nano": _nano,
    "composer": _composer,
    "openai": _openai,
    "transformers": _transformers,
}
