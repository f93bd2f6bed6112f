"""The default backend: what the small model is refused is written by rules, and the result says so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from streamfer import config
from streamfer.expllm.backends.auto import Auto
from streamfer.expllm.backends.composer import Composer
from streamfer.records import Job, Result
from tests.expllm_events import event

SETTINGS = config.Explain()


class Refused:
    """The composer's texts, of which those of the jobs named are refused."""

    name, model, revision, order = "nano", "expllm-nano", "1", "cot_first"

    def __init__(self, *refused: str, readable: bool = True) -> None:
        self._refused, self._readable = refused, readable

    def explain(self, jobs: list[Job], images: list[dict[str, np.ndarray]]) -> list[Result]:
        results = []
        for result in Composer(SETTINGS).explain(jobs, images):
            bad = result.id in self._refused
            cot = result.cot if self._readable or not bad else None
            results.append(replace(
                result, cot=cot, verified=not bad, reasons=("AU9 was not measured",) if bad else (), backend="nano",
                model="expllm-nano", attempts=3, tokens=500, latency_s=2.0, label_probabilities={"fear": 1.0},
            ))  # fmt: skip
        return results


def jobs(*ids: str) -> list[Job]:
    return [Job(one, event("6:2.1 12:2.6", "macro", id=one), (), 0.0) for one in ids]


@pytest.mark.parametrize("readable", [True, False], ids=["refused", "unreadable"])
def test_a_refused_text_is_written_by_rules_and_said_to_be(readable: bool) -> None:
    asked = jobs("a", "b", "c")
    first, second, third = Auto(SETTINGS, Refused("b", readable=readable)).explain(asked, [{}] * 3)
    assert [(r.id, r.backend, r.verified) for r in (first, second, third)] == [
        ("a", "nano", True), ("b", "composer", True), ("c", "nano", True),
    ]  # fmt: skip
    assert (first.reasons, first.tokens) == ((), 500)
    assert second.reasons == ("written by rules: the text of expllm-nano was refused after 3 attempts", "AU9 was not measured")
    assert second.cot == Composer(SETTINGS).explain(asked, [{}] * 3)[1].cot
    assert second.label_probabilities != {"fear": 1.0}
    assert second.attempts > 3 and second.tokens > 500 and second.latency_s >= 2.0


def test_what_rules_fail_at_too_keeps_the_models_text_and_reasons() -> None:
    odd = event("6:2.1 12:2.6", "macro", id="odd")
    odd = replace(odd, aus=(replace(odd.aus[0], au="AU99"),))
    model = Refused("odd")
    (result,) = Auto(SETTINGS, model).explain([Job("odd", odd, (), 0.0)], [{}])
    assert (result.backend, result.verified, result.reasons) == ("nano", False, ("AU9 was not measured",))
    assert Auto(SETTINGS, model).explain([], []) == []
