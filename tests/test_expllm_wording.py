"""Runs of words that no text of the engine has: found, told, and no fault of texts that are in order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from streamfer import config
from streamfer.errors import ModelContract
from streamfer.expllm.attempts import Draft, explain
from streamfer.expllm.backends.composer import compose
from streamfer.expllm.backends.nano import BUNDLED
from streamfer.expllm.encoding import FLAGS
from streamfer.expllm.verify import check
from streamfer.expllm.wording import FILE, Wording
from streamfer.records import ChainOfThought, Job
from tests.expllm_events import event, evidence

TABLE = evidence("6:2.1 12:2.6 L4:0.9", "macro")
TAUGHT = Wording.learn(compose(evidence(f"6:2.{n} 12:2.6 L4:0.9", "macro", id=f"t{n}")) for n in range(400))


def said(observations: str) -> ChainOfThought:
    return ChainOfThought(observations, "AU12 dominates.", "A smile.", "happiness")


@pytest.mark.parametrize(
    "garbled",
    [
        "The left inner brow moved 12 % of the inner of the inner of the inner.",
        "That That was confined to the left side.",
        "The left mouth corner was tracked moving 11 % of the inneride wing.",
    ],
    ids=["a loop", "a word twice", "a word that is none"],
)
def test_the_bundled_model_is_refused_what_it_was_not_taught(garbled: str) -> None:
    wording = Wording.of(BUNDLED)
    assert wording is not None
    strange = wording.strange(said(garbled))
    assert strange and all(one.endswith("is no wording that the model was taught") for one in strange)


def test_texts_of_the_composer_are_in_order() -> None:
    wording = Wording.of(BUNDLED)
    assert wording is not None
    texts = [compose(evidence("6:2.1 12:2.6 L4:0.9 17:1.2", "macro", id=f"new{n}")) for n in range(150)]
    assert sum(bool(wording.strange(cot)) for cot in texts) <= 3


def test_numbers_and_codes_are_one_word_each() -> None:
    cot = compose(replace(TABLE, event_id="t1"))
    other = cot.observations.replace("AU12", "AU10").replace("2.6", "1.7")
    assert TAUGHT.strange(replace(cot, observations=other)) == TAUGHT.strange(cot)


def test_a_damaged_file_is_told(tmp_path) -> None:
    assert Wording.of(tmp_path) is None
    TAUGHT.save(tmp_path)
    again = Wording.of(tmp_path)
    assert again is not None and len(again) == len(TAUGHT)
    (tmp_path / FILE).write_bytes(b"no array")
    with pytest.raises(ModelContract, match="cannot be read"):
        Wording.of(tmp_path)
    np.save(tmp_path / FILE, np.zeros(3, np.float32))
    with pytest.raises(ModelContract, match="not digests"):
        Wording.of(tmp_path)


def test_what_the_writer_knows_to_be_wrong_refuses_its_draft() -> None:
    class Writer:
        def write(self, asks):
            cot = compose(asks[0].evidence)
            text = (f"**Key Observations:**\n{cot.observations}\n\n**Overall Emotional Interpretation:**\n{cot.interpretation}\n\n"
                    f"**Conclusion:**\n{cot.conclusion}\n\nLabel: {cot.label}")  # fmt: skip
            return [Draft(text, 5, faults=() if asks[0].feedback else ("'That That' is no wording",))]

    job = Job("smile", event("6:2.1 12:2.6", "macro", id="smile"), (), 0.0)
    (result,) = explain(Writer(), [job], [{}], floor=config.Explain().floor, attempts=3, backend="b", model="m", revision="r",
                        order="cot_first")  # fmt: skip
    assert result.verified and result.attempts == 2


@pytest.mark.parametrize(
    ("sentence", "fault"),
    [
        ("AU12 dominates, ahead of AU6 by 0.5.", None),
        ("the leading cue is AU12; AU6 is secondary.", None),
        ("AU12 carries most of the weight, AU6 less.", None),
        ("AU6 dominates, ahead of AU12 by 0.5.", "AU6 is said to be stronger than AU12"),
        ("AU12 dominates, ahead of AU6 by 1.7.", "by 1.7, not 0.5"),
        ("AU12 dominates, ahead of AU12 by 0.5.", "compared with itself"),
        ("AU45 dominates, ahead of AU6 by 0.2.", "AU45 is compared but was not measured"),
        ("the leading cue is AU6; AU12 is secondary.", "AU6 is said to be stronger than AU12"),
        ("AU12 and AU6 were about equally strong.", None),
        ("AU12 and AU43 were about equally strong.", "AU43 is compared but was not measured"),
    ],
)
def test_which_action_is_the_stronger(sentence: str, fault: str | None) -> None:
    cot = ChainOfThought("The lip corners rose (AU12, C, +2.6), the cheeks too (AU6, B, +2.1).", sentence,
                         "This is best read as happiness.", "happiness")  # fmt: skip
    told = [one for one in check(cot, evidence("6:2.1 12:2.6", "macro", flags=("blink",))) if "AU" in one]
    assert (told == []) if fault is None else any(fault in one for one in told), told


@pytest.mark.parametrize(
    ("sentence", "flag"),
    [
        ("The person was talking, so AU12 may belong to speech and counts less.", "talking"),
        ("A blink fell into the event, which blurs the eye region.", "blink"),
        ("The head moved, and part of the change may be due to that.", "head_motion"),
        ("The event borders on a gap in the recording and may be cut off.", "edge_of_gap"),
        ("At this low frame rate onset and duration are approximate.", "low_fps"),
    ],
)
def test_a_condition_of_the_recording_is_told_only_where_it_was_found(sentence: str, flag: str) -> None:
    cot = ChainOfThought("The lip corners rose (AU12, C, +2.6).", sentence, "This is best read as happiness.", "happiness")
    with_it, without = (check(cot, evidence("6:2.1 12:2.6", "macro", flags=flags)) for flags in ((flag,), ()))
    assert with_it == [] and any("was not found in this event" in one for one in without)


@pytest.mark.parametrize("flag", FLAGS)
def test_every_way_to_tell_a_condition_is_known(flag: str) -> None:
    texts = [compose(evidence("6:2.1 12:2.6", "macro", flags=(flag,), id=f"c{n}")) for n in range(20)]
    bare = evidence("6:2.1 12:2.6", "macro")
    assert all(any("was not found in this event" in one for one in check(cot, bare)) for cot in texts)


@pytest.mark.parametrize(
    ("sentence", "twice"),
    [
        ("The evidence (AU6, AU12 and AU6) settles on it.", True),
        ("The evidence (AU6, AU6 and AU12) settles on it.", True),
        ("The evidence (AU6, AU12 and AU25) settles on it. AU6 leads.", False),
        ("Also above the floor: AU12 (C, +2.6), AU12 (C, +2.6).", True),
        ("AU1 and AU12 moved.", False),
    ],
)
def test_no_action_is_listed_twice(sentence: str, twice: bool) -> None:
    cot = ChainOfThought("The lip corners rose (AU12, C, +2.6).", sentence, "This is best read as happiness.", "happiness")
    assert any("listed twice" in one for one in check(cot, evidence("6:2.1 12:2.6", "macro"))) == twice
