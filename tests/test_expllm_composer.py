"""The composer: says nothing that was not measured, the same text for the same event, and not one template for all."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings

from streamfer import config
from streamfer.errors import UsageError
from streamfer.expllm.backends import BACKENDS, FakeBackend, load
from streamfer.expllm.backends.composer import Composer, compose
from streamfer.expllm.claims import extract
from streamfer.expllm.evidence import Evidence
from streamfer.expllm.rules import REVISION, judge
from streamfer.expllm.text import format_cot, normalise, parse_cot, word_count
from streamfer.expllm.verify import check
from streamfer.records import AUChange, Event, Expressed, Job, from_json, to_json
from tests.expllm_events import EVENTS, FLOOR, STILLS, event, evidence

SETTINGS = config.Explain()


def job(e: Event) -> Job:
    return Job(e.id, e, (), 0.0)


def whole(e: Evidence) -> str:
    cot = compose(e)
    return f"{cot.observations} {cot.interpretation} {cot.conclusion}"


@settings(max_examples=1500, deadline=None)
@given(EVENTS)
def test_no_event_makes_it_say_anything_unsupported(e: Event) -> None:
    found = Evidence.of(e, FLOOR)
    cot = compose(found)
    assert check(cot, found) == []
    assert parse_cot(format_cot(cot)) == normalise(cot)
    assert cot.label == judge(found).label


@settings(max_examples=500, deadline=None)
@given(STILLS)
def test_no_still_makes_it_say_anything_unsupported(found: Evidence) -> None:
    cot = compose(found)
    assert check(cot, found) == []
    assert parse_cot(format_cot(cot)) == normalise(cot)
    assert cot.label == judge(found).label


def test_a_reading_of_the_whole_face_that_nobody_made_is_a_fault() -> None:
    found = Evidence.of(event("6 12"), FLOOR)
    cot = replace(compose(found), interpretation="The expression model agrees (happiness 0.91).")
    assert any("none was run" in fault for fault in check(cot, found))
    read = replace(found, expressed=Expressed((1.0, *[0.0] * 7), (0.2, 0.8, *[0.0] * 6), "m"))
    assert any("happiness 0.91" in fault for fault in check(cot, read))
    assert check(replace(cot, interpretation="The expression model agrees (happiness 0.80)."), read) == []


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ("Against this stands the whole face, happiness 0.80 in the expression model.", "speak against happiness"),
        ("AU12 is out of place in happiness.", "listed for it"),
        ("AU6 pulls the other way, towards happiness; it is weaker than AU12.", "named as the other label"),
        ("AU12 is out of place in anger; it is weaker than AU12.", "compared with itself"),
        ("The expression model reads the whole face likewise, as happiness 0.80.", ""),
    ],
    ids=["whole-face", "own-sign", "own-label", "itself", "fine"],
)
def test_an_interpretation_that_contradicts_itself_is_a_fault(said: str, fault: str) -> None:
    found = replace(Evidence.of(event("6 12:2", "macro"), FLOOR), expressed=Expressed((1.0, *[0.0] * 7), (0.2, 0.8, *[0.0] * 6), "m"))
    faults = check(replace(compose(found), interpretation=said), found)
    assert (faults == []) if not fault else any(fault in one for one in faults)


READ_HAPPY = Expressed((1.0, *[0.0] * 7), (0.2, 0.8, *[0.0] * 6), "m")


@pytest.mark.parametrize("aus", ["11", "18 11", "25:0.4 11"])
def test_a_label_that_no_action_speaks_for_is_said_to_come_from_the_whole_face(aus: str) -> None:
    found = replace(Evidence.of(event(aus, "macro"), FLOOR), expressed=READ_HAPPY)
    cot = compose(found)
    assert cot.label == "happiness" and judge(found).supporting == () and check(cot, found) == []
    for part in ("interpretation", "conclusion"):
        assert "whole face" in getattr(cot, part) or "as a whole" in getattr(cot, part)
    said = {
        "interpretation": "AU11 was seen. The expression model reads the whole face likewise, as happiness 0.80.",
        "conclusion": "The measured actions make happiness the likeliest label.",
    }
    for part, text in said.items():
        assert any("none is listed for it" in fault for fault in check(replace(cot, **{part: text}), found))


def test_a_label_that_an_action_speaks_for_does_not_rest_on_the_whole_face_alone() -> None:
    found = replace(Evidence.of(event("6 12:2", "macro"), FLOOR), expressed=READ_HAPPY)
    cot = replace(compose(found), conclusion="The label happiness rests on the whole face alone.")
    assert any("AU12 is listed for it" in fault for fault in check(cot, found))
    unread = check(replace(cot, label="anger"), replace(found, expressed=None))
    assert any("which was not read" in fault for fault in unread)
    assert any("which was read as happiness" in fault for fault in check(replace(cot, label="anger"), found))


@settings(max_examples=300, deadline=None)
@given(EVENTS)
def test_every_action_unit_above_the_floor_is_told(e: Event) -> None:
    found = Evidence.of(e, FLOOR)
    told = {n for claim in extract(compose(found).observations) if claim.words.startswith("AU") for n in claim.numbers}
    assert found.numbers <= told


def test_nothing_above_the_floor_means_no_visible_action() -> None:
    cot = compose(evidence("12:0.4 4:0.2", motion="mouth_corner_L:0.1:45"))
    assert cot.observations.startswith("No visible action")
    assert cot.label == "neutral" and "AU" not in whole(evidence("12:0.4"))


def test_the_same_event_gives_the_same_text() -> None:
    assert compose(evidence("6 12")) == compose(evidence("6 12"))
    assert compose(evidence("6 12", id="a")) != compose(evidence("6 12", id="b"))


SAYS = {
    "duchenne": ("6 12", "micro", {}, "Duchenne"),
    "no-duchenne-on-one-side": ("R6 R12", "micro", {}, "(?!.*Duchenne)"),
    "grief": ("1 4 15", "macro", {}, "oblique brow"),
    "fear-brow": ("1 2 4", "macro", {}, "fear"),
    "disgust": ("9 10", "macro", {}, "disgust"),
    "control": ("23 24", "macro", {}, "restraint|held-back"),
    "one-sided": ("L14", "micro", {}, "one-sided|lopsided"),
    "side-named": ("L12", "micro", {}, "left lip corner"),
    "side-explained": ("L12", "micro", {}, "person's own"),
    "stronger-side": ("L12:2.5 R12:1", "macro", {}, "more on the left"),
    "letter-and-change": ("12:1.8", "micro", {}, r"AU12, B, \+1\.8\)"),
    "active-before": ("12:1.1:3.1", "macro", {}, r"\(.*AU12, C, \+1\.1 from 2\.0\)"),
    "muscle": ("12", "micro", {}, "zygomaticus major"),
    "times": ("12", "macro", {}, r"12\.53 s"),
    "flow-agrees": ("12", "micro", {"motion": "mouth_corner_L:0.04:45"}, "left mouth corner .*4 % .*up and outward"),
    "flow-disagrees": ("12", "micro", {"motion": "mouth_corner_L:0.04:-120"}, "against it|not confirm"),
    "conflict": ("6:3 12:3 4:1", "macro", {}, r"AU4\b.*weaker than AU"),
    "rivals": ("4", "micro", {}, "low.*anger|anger.*low"),
    "talking": ("12", "micro", {"flags": ("talking",)}, "talking"),
    "head-motion": ("12", "micro", {"flags": ("head_motion",)}, "head mov"),
    "low-fps": ("12", "micro", {"flags": ("low_fps",)}, "frame rate"),
    "blink": ("4 7", "micro", {"flags": ("blink",)}, "blink .*AU7"),
    "gap": ("12", "micro", {"flags": ("edge_of_gap",)}, "gap in the recording"),
    "unknown-flag": ("12", "micro", {"flags": ("new_kind",)}, "new kind"),
    "micro": ("12", "micro", {}, "micro-expression"),
    "not-diagnostic": ("25", "macro", {}, "neutral"),
    "descriptor": ("31", "macro", {}, "clenching of the jaw"),
    "eased": ("12 4:-1", "micro", {}, "AU4 eased off"),
}


@pytest.mark.parametrize(("aus", "kind", "more", "pattern"), SAYS.values(), ids=SAYS.keys())
def test_what_has_to_be_said_is_said(aus: str, kind: str, more: dict, pattern: str) -> None:
    for n in range(8):
        assert re.search(rf"\A(?=.*(?:{pattern}))" if "(?!" not in pattern else rf"\A{pattern}",
                         whole(evidence(aus, kind, id=f"e{n}", **more)), re.IGNORECASE | re.DOTALL)  # fmt: skip


def test_lying_and_hiding_are_only_ever_denied() -> None:
    for n in range(200):
        for sentence in re.split(r"(?<=\.)\s", whole(evidence("6 12 4", id=f"e{n}"))):
            if re.search(r"lying|hidden|conceal", sentence):
                assert re.search(r"\b(?:no|not)\b", sentence)


def test_length_is_about_right() -> None:
    typical = ["12", "6 12", "4", "1 2 5", "1 4 15 17", "9 10 4", "R14 R12", "4 5 7 23 24", "20 1 2 4", "15 17"]
    counts = [word_count(compose(evidence(a, k, id=f"{a}{n}", motion="mouth_corner_L:0.04:45 chin:0.03:80")))
              for a in typical for k in ("micro", "macro") for n in range(10)]  # fmt: skip
    assert max(counts) <= 165
    assert sum(60 <= count <= 150 for count in counts) / len(counts) > 0.95


def test_fifty_texts_do_not_read_as_one_template() -> None:
    """Sentences without their numbers: few may return; distinct-n as in Li et al. (2016)."""
    kinds = ["6 12", "12", "4", "1 2 5", "1 4 15", "9 10", "L14", "4 7", "15 17", "25 26"]
    texts = [whole(evidence(kinds[n % 10], ("micro", "macro")[n % 2], id=f"event-{n}")) for n in range(50)]
    shapes = [re.sub(r"[\d.]+ (?=s\b)|AU\d+", "#", s) for t in texts for s in re.split(r"(?<=\.)\s(?=[A-Z])", t)]
    returning = sum(count - 1 for count in Counter(shapes).values()) / len(shapes)
    words = " ".join(texts).split()
    trigrams = list(zip(words, words[1:], words[2:], strict=False))
    assert len(set(texts)) == 50
    assert returning < 0.40
    assert len(set(trigrams)) / len(trigrams) > 0.30


# -------------------------------------------------------------------------------------- backends


def test_the_composer_fills_in_every_field_of_the_result() -> None:
    (result,) = load("composer", SETTINGS).explain([job(event("6 12"))], [{}])
    assert (result.backend, result.model, result.revision, result.order) == ("composer", "rules", REVISION, "cot_first")
    assert result.verified and not result.reasons and result.attempts == 1
    assert result.cot is not None and result.tokens == word_count(result.cot)
    assert 0 < result.latency_s < 1
    assert result.label_probabilities is not None and max(result.label_probabilities.values()) > 0.5
    assert from_json(type(result), to_json(result)).cot == result.cot


def test_one_bad_event_does_not_take_the_batch_down() -> None:
    bad = Event(**{f: getattr(event("12"), f) for f in Event.__slots__} | {"aus": (AUChange("AU99", "both", 2, 2),)})
    good, broken = Composer(SETTINGS).explain([job(event("12")), job(bad)], [{}, {}])
    assert good.verified
    assert broken.cot is None and not broken.verified and "AU99" in broken.reasons[0]


def test_the_floor_of_the_settings_is_used() -> None:
    (result,) = Composer(config.Explain(floor=2.0)).explain([job(event("12:1.5"))], [{}])
    assert result.cot is not None and result.cot.label == "neutral"


def test_an_unknown_backend_names_the_choices() -> None:
    with pytest.raises(UsageError, match="unknown explanation backend 'gpt': choose one of auto, nano, composer"):
        load("gpt", SETTINGS)


def test_every_backend_of_the_config_can_be_loaded() -> None:
    names = config.Explain.model_fields["backend"].annotation.__args__  # type: ignore[union-attr]
    assert set(names) - {"none"} == set(BACKENDS)


def test_the_fake_backend_calls_its_function_for_each_job() -> None:
    seen = []

    def fn(job, images):
        seen.append((job.id, sorted(images)))
        return compose(Evidence.of(job.event, FLOOR))

    results = FakeBackend(fn).explain([job(event("12", id="a")), job(event("4", id="b"))], [{"apex": None}, {}])
    assert seen == [("a", ["apex"]), ("b", [])]
    assert [r.id for r in results] == ["a", "b"] and not results[0].verified
