"""ExpLLM's small model: its tokens say what the evidence says, it writes with a cache what it would write without one,
and whatever it writes has the format, even untrained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from streamfer.errors import ModelContract, ModelMissing, ParseError, UsageError
from streamfer.expllm.backends.composer import compose
from streamfer.expllm.engine import Case, ComposerWriter, Counts, Sample, build, fault_of, towards
from streamfer.expllm.evidence import Evidence
from streamfer.expllm.rules import judge
from streamfer.expllm.slots import SLOTS, delexicalise, fill
from streamfer.expllm.text import normalise, parse_cot
from streamfer.expllm.verify import check
from streamfer.records import LABELS, Event, from_json, to_json
from tests.expllm_events import EVENTS, FLOOR, STILLS, evidence

torch = pytest.importorskip("torch")

from streamfer.expllm import encoding, generate, model  # noqa: E402

SHOWN = ("6 12", "4 7 23", "R14:1.0", "1 2 5 26", "9 10 17", "L12:2.0 25:0.8", "4:1.2:3.0 15")


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    counts = Counts()
    cases = [Case(f"c{n}", evidence(aus, id=f"c{n}"), None) for n, aus in enumerate(SHOWN * 6)]
    return list(build(cases, ComposerWriter(), counts))


@pytest.fixture(scope="module")
def codec(samples) -> encoding.Codec:
    tokenizer = encoding.train_tokenizer(encoding.texts_for_tokenizer(samples), 700)
    return encoding.Codec(tokenizer, model.image_tokens("mpp"))


def net(codec: encoding.Codec, projector: str = "mpp") -> model.ExpLLM:
    torch.manual_seed(0)
    size = model.ModelSize(codec.size, width=32, layers=2, heads=2, inner=48, projector=projector, bridge=16)  # type: ignore[arg-type]
    return model.ExpLLM(size, model.new_lm(size), codec.ids["<img>"]).eval()


def some_looks(count: int, size: model.ModelSize) -> model.Looks:
    looks = model.Looks.none(count, size)
    for name in looks.__slots__:
        setattr(looks, name, torch.rand_like(getattr(looks, name)))
    looks.seen = torch.ones(count)
    return looks


# --------------------------------------------------------------------------------------------- slots


@settings(max_examples=300, deadline=None)
@given(EVENTS)
def test_numbers_leave_the_text_and_come_back(e: Event) -> None:
    found = Evidence.of(e, FLOOR)
    cot = compose(found)
    for part in (cot.observations, cot.interpretation, cot.conclusion):
        assert fill(delexicalise(part, found), found) == part


@settings(max_examples=100, deadline=None)
@given(STILLS)
def test_numbers_of_stills_too(found: Evidence) -> None:
    cot = compose(found)
    for part in (cot.observations, cot.interpretation, cot.conclusion):
        assert fill(delexicalise(part, found), found) == part


def test_a_slot_for_what_was_not_measured_is_found_by_the_check() -> None:
    found = evidence("6 12")
    cot = compose(found)
    wrong = replace(cot, observations=f"{cot.observations} The brows lowered ({fill('<n4>', found)}).")
    assert any("AU4" in fault for fault in check(wrong, found))
    assert "measured]" in fill("<m:chin>", found) and "measured]" in fill("<face>", found)


# -------------------------------------------------------------------------------------------- engine


def test_the_engine_drops_what_the_evidence_does_not_bear_and_counts_it() -> None:
    counts = Counts()
    cases = [
        Case("smile", evidence("6 12", "macro"), "happiness"), Case("smile-as-anger", evidence("6 12", "macro"), "anger"),
        Case("nothing", evidence("12:0.2"), "neutral"),
    ]  # fmt: skip
    kept = list(build(cases, ComposerWriter(), counts))
    assert [sample.id for sample in kept] == ["smile"]
    assert (counts.taken, counts.no_action, counts.refused) == (1, 1, {"label": 1})
    assert counts.attempts == 1 + 3  # reflected upon twice more


def test_a_label_that_comes_near_is_argued_for_in_other_words() -> None:
    found = evidence("1 2 5 26 25 20:0.9", "macro")
    verdict = judge(found)
    near = [
        name for name in LABELS if name != verdict.label and verdict.scores[name] >= 0.6 * verdict.scores[verdict.label]
    ]
    for name in near:
        forced = towards(verdict, name, found)
        assert forced.label == name and verdict.label in forced.rivals
    far = min(LABELS, key=lambda name: verdict.scores[name])
    assert towards(verdict, far, found) is verdict


def test_a_sample_survives_its_line_of_json(samples) -> None:
    assert from_json(Sample, to_json(samples[0])) == samples[0]
    assert fault_of(samples[0].cot, Case("x", samples[0].evidence, None)) is None


# -------------------------------------------------------------------------------------------- tokens


def test_a_sequence_reads_back_as_its_text(samples, codec) -> None:
    for sample in samples:
        for label_first in (False, True):
            encoded = codec.encode(sample, "reasoning", label_first=label_first)
            assert parse_cot(codec.decode(encoded.ids[encoded.answer :], sample.evidence)) == normalise(sample.cot)


def test_a_sentence_is_announced_by_what_it_is_about(samples, codec) -> None:
    sample = next(s for s in samples if s.evidence.numbers == {6, 12})
    tokens = [codec.tokenizer.id_to_token(n) for n in codec.encode(sample, "reasoning").ids]
    answer = tokens[tokens.index("<cot>") :]
    for slot in ("<n6>", "<n12>"):
        at = answer.index(slot)
        assert f"<AU{slot[2:-1]}>" in answer[:at], "its plan comes before it"
    assert answer[answer.index("<AU12>") :][1:3] == ["<both>", "<B>"] or "<A>" in answer


@settings(max_examples=300, deadline=None)
@given(EVENTS)
def test_any_evidence_has_tokens_that_the_tokenizer_knows(e: Event) -> None:
    tokens = encoding.evidence_tokens(Evidence.of(e, FLOOR))
    known = {*encoding.SPECIALS}
    assert {token for token in tokens if token not in known} <= {f"<AU{n}>" for n in range(47, 99)}


@pytest.mark.parametrize(
    ("aus", "wanted"),
    [("R14:1.0", "<AU14> <right> <A> <d2>"), ("6:1.2 L6:2.4", ""), ("4:1.2:3.0", "<AU4> <both> <C> <d2> <before>")],
    ids=["one-sided", "both", "active-before"],
)
def test_evidence_as_tokens(aus: str, wanted: str) -> None:
    assert wanted in " ".join(encoding.evidence_tokens(evidence(aus)))


# ----------------------------------------------------------------------------------------- the model


@pytest.mark.parametrize("projector", model.PROJECTORS)
def test_pictures_change_what_it_would_write_and_missing_ones_do_not(codec, projector) -> None:
    codec = encoding.Codec(codec.tokenizer, model.image_tokens(projector))
    lm = net(codec, projector)
    ids = torch.tensor([codec.prompt(evidence("6 12"), "<cot>")])
    ones = torch.ones_like(ids)
    with torch.no_grad():
        blind = lm(ids, ones, model.Looks.none(1, lm.size))
        seeing = lm(ids, ones, some_looks(1, lm.size))
        hidden = some_looks(1, lm.size)
        hidden.seen = torch.zeros(1)
        assert torch.allclose(lm(ids, ones, hidden), blind, atol=1e-5)
    assert not torch.allclose(seeing, blind, atol=1e-4)


def test_the_cache_and_the_padding_change_nothing(codec) -> None:
    lm = net(codec)
    tables = [evidence("6 12"), evidence("1 2 4 5 7 20 25:2.0 26")]
    looks = some_looks(2, lm.size)
    how = generate.How(temperature=0.0, most_tokens=24)
    together = generate.write(lm, codec, tables, looks, ["a", "b"], how)
    for n, table in enumerate(tables):
        ids = codec.prompt(table, "<cot>")
        bounds = generate.Bounds(codec, [table], True)
        answer: list[int] = []
        one = looks.take(torch.tensor([n]))
        with torch.no_grad():
            for _ in range(23):
                row = torch.tensor([[*ids, *answer]])
                logits = lm(row, torch.ones_like(row), one)[:, -1] + torch.from_numpy(bounds.mask(False, codec.eos))
                token = int(logits.argmax())
                bounds.take([token])
                answer.append(token)
                if token == codec.ids["<label>"]:
                    break
        assert list(together[n].ids)[: len(answer)] == answer


def test_a_text_does_not_depend_on_its_company(codec) -> None:
    lm = net(codec)
    tables = [evidence("6 12"), evidence("4 7 23"), evidence("9")]
    how = generate.How(most_tokens=16)
    together = generate.write(lm, codec, tables, None, ["a", "b", "c"], how)
    alone = generate.write(lm, codec, tables[1:2], None, ["b"], how)
    assert together[1].ids == alone[0].ids
    assert generate.write(lm, codec, tables[1:2], None, ["other"], how)[0].ids != alone[0].ids


@pytest.mark.parametrize("label_first", [False, True])
def test_even_an_untrained_model_keeps_to_format_and_labels(codec, label_first) -> None:
    lm = net(codec)
    tables = [evidence("6 12"), evidence("R14")]
    for written, table in zip(
        generate.write(lm, codec, tables, None, ["a", "b"], generate.How(label_first=label_first, most_tokens=300)),
        tables,
        strict=True,
    ):
        text = codec.decode(written.ids, table)
        try:
            assert parse_cot(text).label in LABELS
        except ParseError:
            assert len(written.ids) >= 299  # it never came to an end, or chattered past the limit
        if written.label_probabilities is not None:
            assert set(written.label_probabilities) == set(LABELS)
            assert sum(written.label_probabilities.values()) == pytest.approx(1, abs=0.01)
        assert "measured]" not in text, "a slot that the evidence cannot fill was open"


def test_saved_and_loaded_it_is_the_same(codec, tmp_path) -> None:
    lm = net(codec)
    model.save(lm, tmp_path, codec.tokenizer, {"name": "tiny"}, torch.float32)
    again, tokenizer, facts = model.load(tmp_path)
    assert facts["name"] == "tiny" and tokenizer.get_vocab_size() == codec.size
    table = [evidence("6 12")]
    how = generate.How(most_tokens=12)
    assert generate.write(again, codec, table, None, ["a"], how) == generate.write(lm, codec, table, None, ["a"], how)


def test_a_folder_that_is_no_model_says_so(codec, tmp_path) -> None:
    with pytest.raises(ModelMissing, match="train expllm"):
        model.load(tmp_path)
    model.save(net(codec), tmp_path, codec.tokenizer, {})
    (tmp_path / "config.json").write_text('{"size": {"vocabulary": 5}}')
    with pytest.raises(ModelContract, match="cannot be read"):
        model.load(tmp_path)


def test_every_slot_is_known_to_the_tokenizer(codec) -> None:
    assert all(codec.tokenizer.token_to_id(slot) is not None for slot in SLOTS)
    assert np.unique([codec.ids[token] for token in encoding.SPECIALS]).size == len(set(encoding.SPECIALS))


# ---------------------------------------------------------------------------------------- evaluation


def test_scores_of_texts(samples, codec) -> None:
    from streamfer.evaluation import explanations

    cases = [Case(sample.id, sample.evidence, sample.label) for sample in samples[:4]] + [
        Case("quiet", evidence("12:0.1"), "neutral")
    ]
    outcome = explanations.run(net(codec), codec, cases, None, batch=3, attempts=2)
    assert len(outcome.told) == 4 and [case.id for case in outcome.no_action] == ["quiet"]
    report = explanations.score(outcome, "an untrained model")
    found = {(row.group, row.measure): row.value for row in report.rows}
    assert found["label", "... of the rules on the same"] == 1.0
    assert 0 <= found["first draft", "valid format"] <= 1
    assert explanations.feabench(outcome).rows[0].of in {"0", "1", "2", "3", "4"}


@pytest.mark.parametrize(
    ("answer", "reference", "value"),
    [("the cat sat", "the cat sat", 1.0), ("a b c d", "a x c y", 0.5), ("a", "b", 0.0), ("", "b", 0.0)],
    ids=["same", "half", "nothing", "empty"],
)
def test_rouge_l(answer: str, reference: str, value: float) -> None:
    from streamfer.evaluation.explanations import rouge_l

    assert rouge_l(answer, reference) == pytest.approx(value)


def test_variety_does_not_come_from_numbers() -> None:
    from streamfer.evaluation.explanations import distinct, repeated

    assert distinct(["it rose by 1.2", "it rose by 3.4"], 2) == pytest.approx(3 / 6)
    assert repeated(["It rose by 1.2. Then it fell.", "It rose by 3.4. Then it stayed."]) == pytest.approx(0.5)


# ------------------------------------------------------------------------------------------ training


def test_three_steps_of_each_part_and_what_comes_out_explains(samples, tmp_path) -> None:
    from streamfer.records import to_json
    from streamfer.training import expllm as training

    data = tmp_path / "cot.jsonl"
    data.write_text("".join(to_json(replace(sample, row=n)) + "\n" for n, sample in enumerate(samples)))
    from safetensors.torch import save_file

    looks = some_looks(len(samples), model.ModelSize(1))
    save_file({name: getattr(looks, name).half() for name in looks.__slots__}, tmp_path / ("cot" + training.LOOKS))
    config = training.ExpLLMTraining(
        out=tmp_path / "run", data=(data,), width=32, layers=1, heads=2, inner=48, language=3, projector_steps=3, all=3, batch=4,
        threads=1, device="cpu",
    )  # fmt: skip
    half = training.train(replace(config, all=0, out=tmp_path / "half"))
    assert half.step == 6
    run = training.train(config)
    assert run.step == 9
    again = training.train(config)  # finished: nothing is done twice
    assert again.step == 9
    assert all(torch.equal(a, b) for a, b in zip(run.model.parameters(), again.model.parameters(), strict=True))
    begun = training.train(replace(config, language=0, projector_steps=0, all=0, out=tmp_path / "begun", start=run.config.out))
    assert all(torch.equal(a, b) for a, b in zip(run.model.parameters(), begun.model.parameters(), strict=True))
    torch.save({"model": {"another.weight": torch.zeros(3)}}, tmp_path / "half" / "checkpoint.pt")
    with pytest.raises(UsageError, match="no weights that fit"):
        training.train(replace(config, out=tmp_path / "lost", start=tmp_path / "half"))
    folder = training.export(run, tmp_path / "model", "perception")
    lm, tokenizer, facts = model.load(folder)
    assert facts["steps"] == {"language": 3, "projector": 3, "all": 3}
    table = [samples[0].evidence]
    new = encoding.Codec(tokenizer, model.image_tokens("mpp"))
    assert generate.write(lm, new, table, None, ["a"], generate.How(most_tokens=8))[0].ids
