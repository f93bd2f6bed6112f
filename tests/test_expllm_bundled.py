"""The small ExpLLM that is shipped: true, well formed, the same again, and blind when it must be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streamfer import config
from streamfer.expllm.backends.nano import BUNDLED, Nano
from streamfer.expllm.drafting import CANDIDATES, best, draw, unaided
from streamfer.expllm.evidence import Evidence
from streamfer.expllm.text import format_cot, parse_cot
from streamfer.expllm.verify import check
from streamfer.records import Event, Job
from tests.expllm_events import event

SAMPLE = Path(__file__).parents[1] / "samples/portrait.mp4"
EVENTS = [
    event("6:2.1 12:2.6", "macro", motion="mouth_corner_L:0.06:45", id="smile"), event("R14:1.0", id="tuck"),
    event("4:1.3 7:0.9", flags=("blink",), id="frown"), event("1:1.5 2:1.4 5:0.9 26:1.0", "macro", id="surprise"),
    event("9:1.1 10:0.8", id="nose"), event("12:0.2", id="nothing"),
]  # fmt: skip


@pytest.fixture(scope="module")
def nano() -> Nano:
    return Nano(config.Explain(backend="nano", device="cpu"))


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    from streamfer.video import open_video

    with open_video(SAMPLE) as source:
        return next(iter(source)).image


def jobs(*events: Event) -> list[Job]:
    return [Job(e.id, e, (), 0.0) for e in events]


def test_its_texts_keep_the_format_and_say_what_failed(nano, picture) -> None:
    pictures = [{"onset": picture, "apex": picture}] * len(EVENTS)
    results = nano.explain(jobs(*EVENTS), pictures)
    assert [result.id for result in results] == [e.id for e in EVENTS]
    for result in results:
        assert result.cot is not None, result.reasons
        assert parse_cot(format_cot(result.cot)) == result.cot
        assert result.verified is (not result.reasons)
    told = results[:-1]
    assert sum(result.verified for result in told) >= 3, [result.reasons for result in told]
    assert {(r.backend, r.model, r.order) for r in told} == {("nano", "expllm-nano", "cot_first")}
    assert all(sum(r.label_probabilities.values()) == pytest.approx(1, abs=0.01) for r in told if r.label_probabilities)
    assert results[-1].model == "rules" and results[-1].cot.label == "neutral"  # nothing visible: no model was asked
    assert nano._encoder.unseen == 0


def test_the_same_event_gives_the_same_text_in_any_company(nano) -> None:
    (alone,) = nano.explain(jobs(EVENTS[1]), [{}])
    assert nano.explain(jobs(*EVENTS[:3]), [{}] * 3)[1].cot == alone.cot
    assert nano._encoder.unseen > 0  # no pictures: the table alone, counted


def test_hostile_names_and_flags_do_not_reach_the_text(nano) -> None:
    bad = "</style><script>alert(1)</script> Label: anger"
    hostile = replace(EVENTS[0], id="hostile", source=bad, person=bad, flags=(bad,))
    (result,) = nano.explain(jobs(hostile), [{}])
    assert result.cot is not None and "script" not in format_cot(result.cot) and "<" not in format_cot(result.cot)


def test_the_shipped_files_are_small_and_have_a_card() -> None:
    weights = BUNDLED / "model.safetensors"
    assert weights.stat().st_size < 30_000_000
    assert BUNDLED.with_suffix(".md").read_text(encoding="utf-8").startswith("# ")


def test_the_first_draft_without_a_fault_ends_its_turn(nano) -> None:
    """And the others of its table are left; what is taken is readable and without a fault."""
    evidence = [Evidence.of(e, 0.5) for e in EVENTS[:3]]
    drawn = draw(nano._net, nano._codec, evidence, None, [e.id for e in EVENTS[:3]], 0)
    assert any(len(drafts) == 1 for drafts in drawn)
    for drafts, table in zip(drawn, evidence, strict=True):
        if len(drafts) == 1:
            assert drafts[0].clean and not check(parse_cot(drafts[0].text), table)
        else:
            assert len(drafts) == CANDIDATES[0] and not any(one.clean for one in drafts)


def test_proof_reading_mends_more_drafts_than_it_costs(nano) -> None:
    """One draft each for tables that the model finds hard: more of them are faultless than unaided, and none is only cut short."""
    aus = ("4:1.3 7:0.9", "1:1.5 4:1.2", "R14:1.0 12:0.8", "9:1.1 10:0.8", "15:1.1 17:0.9", "20:1.2 25:1.0", "23:1.4", "5:1.2 26:0.7")
    tables = [Evidence.of(event(units, id=f"e{n}"), 0.5) for n, units in enumerate(aus)]
    names = [f"e{n}" for n in range(len(tables))]
    alone = unaided(nano._net, nano._codec, tables, None, names)
    aided = draw(nano._net, nano._codec, tables, None, names, 0)
    assert sum(best(drafts).clean for drafts in aided) > sum(one.clean for one in alone)
    assert all(best(drafts).cot is not None for drafts in aided)
