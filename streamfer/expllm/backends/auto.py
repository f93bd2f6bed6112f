"""The default: ExpLLM's small model, and the composer for the events whose text did not pass verification.

A small model's refused text may be garbled, and what a person reads should be true of the measurements. So the composer, which
says only what was measured, takes its place; the result names the composer, and its `reasons` say that the model's text was refused
and why. Backend `nano` by itself leaves refused texts as they are, marked as not verified.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from streamfer.expllm.backends.composer import Composer
from streamfer.expllm.backends.nano import Nano
from streamfer.records import Job, Result

if TYPE_CHECKING:
    import numpy as np

    from streamfer.config import Explain
    from streamfer.expllm.backends import Backend

REASONS_MAX = 2
"""Of a refused text: enough to see why, for a reader who does not see that text."""


class Auto:
    """A Backend. Not thread-safe. `model` takes the place of the small model (tests)."""

    name = "auto"
    order: Literal["cot_first", "label_first", "none"] = "cot_first"

    def __init__(self, settings: Explain, model: Backend | None = None) -> None:
        self._model: Backend = model if model is not None else Nano(settings)
        self._rules: Backend = Composer(settings)
        self.model, self.revision = self._model.model, self._model.revision

    def explain(self, jobs: list[Job], images: list[dict[str, np.ndarray]]) -> list[Result]:
        """One Result for each job, in order. Attempts, tokens and seconds are those of both writers together."""
        results = self._model.explain(jobs, images)
        refused = [i for i, result in enumerate(results) if not result.verified]
        again = self._rules.explain([jobs[i] for i in refused], [images[i] for i in refused])
        for i, plain in zip(refused, again, strict=True):
            if plain.verified:
                results[i] = _instead(results[i], plain)
        return results


def _instead(refused: Result, plain: Result) -> Result:
    said = f"written by rules: the text of {refused.model} was refused after {refused.attempts} attempts"
    return replace(
        plain,
        reasons=(said, *refused.reasons[:REASONS_MAX]),
        attempts=refused.attempts + plain.attempts,
        tokens=refused.tokens + plain.tokens,
        latency_s=refused.latency_s + plain.latency_s,
    )
