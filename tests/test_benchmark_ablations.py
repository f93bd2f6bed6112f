"""The comparison of ExpLLM's variants: pairs are pairs, settings do not mix, a finished variant is not run again, and a
variant hides from the model what its name says."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamfer.errors import UsageError
from streamfer.expllm.engine import Case, ComposerWriter, Counts, Sample, build
from streamfer.records import to_json
from tests.expllm_events import evidence

torch = pytest.importorskip("torch")

from benchmarks import ablations  # noqa: E402
from streamfer.expllm.model import Looks, ModelSize  # noqa: E402
from streamfer.training import expllm as training  # noqa: E402

SHOWN = ("6 12", "4 7 23", "1 2 5 26", "9 10 17", "12 25", "4 15")
TINY: dict[str, Any] = {"width": 32, "layers": 1, "heads": 2, "inner": 48, "batch": 4, "threads": 1, "device": "cpu"}


def cases(count: int) -> list[Case]:
    shown = [SHOWN[n % len(SHOWN)] for n in range(count)]
    return [Case(f"c{n}", evidence(aus, "macro", id=f"c{n}"), "happiness", row=n) for n, aus in enumerate(shown)]


def some_looks(count: int) -> Looks:
    looks = Looks.none(count, ModelSize(0))
    for name in looks.__slots__:
        setattr(looks, name, torch.rand_like(getattr(looks, name)))
    looks.seen = torch.ones(count)
    return looks


@pytest.fixture(scope="module")
def start(tmp_path_factory) -> Path:
    """A folder with cot.jsonl and its looks, and a run on its texts alone."""
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("start")
    samples: list[Sample] = list(build([replace(c, truth=None) for c in cases(36)], ComposerWriter(), Counts()))
    (folder / "cot.jsonl").write_text("".join(to_json(replace(s, row=n)) + "\n" for n, s in enumerate(samples)))
    looks = some_looks(len(samples))
    save_file({name: getattr(looks, name) for name in looks.__slots__}, folder / ("cot" + training.LOOKS))
    training.train(
        training.ExpLLMTraining(folder / "text", (folder / "cot.jsonl",), language=2, projector_steps=0, all=0, **TINY)
    )
    return folder


def arguments(start: Path, out: Path, *more: str) -> list[str]:
    return [
        "--data", str(start / "cot.jsonl"), "--start", str(start / "text"), "--valid", "valid.npz", "--steps", "8",
        "--photos", "6", "--attempts", "1", "--batch", "4", "-o", str(out), *more,
    ]  # fmt: skip


@pytest.fixture
def photographs(monkeypatch) -> None:
    monkeypatch.setattr(ablations, "cases_of", lambda *_: (cases(6), some_looks(6)))


# ------------------------------------------------------------------------------------------- numbers


def line(values: list[float | None], photographs: str = "abcd") -> dict[str, Any]:
    return {"photographs": list(photographs), "values": {"label": values}}


@pytest.mark.parametrize(
    ("mine", "base", "mean", "low", "high"),
    [
        pytest.param(line([1, 1, 0, 0]), line([1, 1, 0, 0]), 0, 0, 0, id="the-same"),
        pytest.param(line([1, 1, 1, 1]), line([0, 0, 0, 0]), 1, 1, 1, id="always-better"),
        pytest.param(line([0, 0, 1, 1], "dcba"), line([1, 1, 0, 0], "abcd"), 0, 0, 0, id="in-another-order"),
        pytest.param(line([1, None, 1, 0]), line([0, 0, None, 0]), 0.5, 0, 1, id="only-where-both-have-a-value"),
        pytest.param(line([1, 1], "ab"), line([1, 0], "bc"), 0, math.nan, math.nan, id="one-in-common"),
        pytest.param(line([1], "a"), line([1], "b"), math.nan, math.nan, math.nan, id="nothing-in-common"),
    ],
)
def test_differences_are_paired_by_photograph(mine, base, mean, low, high) -> None:
    assert ablations.difference(mine, base, "label") == pytest.approx((mean, low, high), nan_ok=True)


def test_an_interval_is_that_of_the_mean_of_what_is_there() -> None:
    values = [1.0] * 60 + [0.0] * 40 + [None] * 50
    mean, low, high = ablations.interval(values)
    assert mean == pytest.approx(0.6)
    assert (low, high) == pytest.approx(
        (0.6 - 1.96 * math.sqrt(0.24 / 100), 0.6 + 1.96 * math.sqrt(0.24 / 100)), abs=0.02
    )


# ------------------------------------------------------------------------------------------- results


def test_results_of_other_settings_are_refused_and_half_a_line_is_left_out(tmp_path) -> None:
    path = tmp_path / "run" / ablations.RESULTS
    ablations.append(path, {"variant": "base", "settings": {"steps": 8}})
    with path.open("a") as file:
        file.write('{"variant": "ml')  # killed while it wrote
    assert list(ablations.read_results(path, {"steps": 8})) == ["base"]
    ablations.append(path, {"variant": "mlp", "settings": {"steps": 8}})
    assert list(ablations.read_results(path, {"steps": 8})) == ["base", "mlp"]
    with pytest.raises(UsageError, match=r"line 1 \(base\).*steps.*-o"):
        ablations.read_results(path, {"steps": 9})


def test_every_variant_but_base_changes_what_its_name_says() -> None:
    base, *others = ablations.VARIANTS
    assert base == ablations.Variant("base")
    changed = {
        v.name: {n for n in ("projector", "table", "pictures", "label_first") if getattr(v, n) != getattr(base, n)}
        for v in others
    }
    assert changed == {
        "mlp": {"projector"}, "no table": {"table"}, "label first": {"label_first"}, "no pictures": {"pictures"},
        "no table, mlp": {"table", "projector"},
    }  # fmt: skip


# --------------------------------------------------------------------------------------------- a run


def test_a_run_is_one_line_a_variant_and_is_not_done_twice(start, tmp_path, photographs, monkeypatch, capsys) -> None:
    only = ["--only", "base", "--only", "label first"]
    ablations.main(arguments(start, tmp_path, *only))
    shown = capsys.readouterr().out
    lines = [json.loads(text) for text in (tmp_path / ablations.RESULTS).read_text().splitlines()]
    assert [one["variant"] for one in lines] == ["base", "label first"]
    assert lines[0]["photographs"] == lines[1]["photographs"] == [f"c{n}" for n in range(6)]
    assert all(len(values) == 6 for one in lines for values in one["values"].values())
    # the rules and the truth of "6 12" are happiness, of the others not: 1 of 6 shown, whatever the model learned
    assert lines[0]["values"]["rules"] == lines[1]["values"]["rules"]
    assert lines[0]["values"]["rules"][0] == 1.0
    assert "| first drafts without fault |" in shown and shown.splitlines()[0] == "|  | base | label first |"

    monkeypatch.setattr(ablations, "train", lambda *_: pytest.fail("a finished variant was trained again"))
    ablations.main(arguments(start, tmp_path, *only))
    assert capsys.readouterr().out == shown
    with pytest.raises(UsageError, match="steps"):
        ablations.main([*arguments(start, tmp_path, *only), "--steps", "16"])


def test_a_model_that_is_there_writes_without_its_inputs_and_is_not_trained(
    start, tmp_path, photographs, monkeypatch, capsys
) -> None:
    run = training.train(
        training.ExpLLMTraining(start / "text", (start / "cot.jsonl",), language=2, projector_steps=0, all=0, **TINY)
    )
    folder = training.export(run, tmp_path / "model", "perception")
    monkeypatch.setattr(ablations, "train", lambda *_: pytest.fail("it was trained"))
    given = [
        "--trained",
        str(folder),
        "--valid",
        "valid.npz",
        "--photos",
        "6",
        "--attempts",
        "1",
        "-o",
        str(tmp_path / "out"),
    ]
    ablations.main([*given, "--only", "no table", "--only", "mlp"])
    # the model's projector is mpp: there is nothing to write with another one
    assert capsys.readouterr().out.splitlines()[0] == "|  | no table |"
    lines = (tmp_path / "out" / ablations.RESULTS).read_text().splitlines()
    assert [json.loads(text)["variant"] for text in lines] == ["no table"]
    with pytest.raises(UsageError, match="--trained"):
        ablations.main(given[2:])


def test_a_start_without_a_run_is_one_sentence(start, tmp_path, photographs) -> None:
    with pytest.raises(UsageError, match=r"checkpoint\.pt is not there.*--start"):
        ablations.main([*arguments(start, tmp_path), "--start", str(tmp_path)])


@pytest.mark.parametrize("variant", ablations.VARIANTS, ids=lambda v: v.name)
def test_a_variant_is_trained_as_it_writes(start, tmp_path, variant) -> None:
    """The batches of its training: pictures, table and the place of the label are those of its name."""
    parsed = ablations.parser().parse_args(arguments(start, tmp_path))
    config = ablations.training_of(variant, parsed)
    data = training.Data.load(config.data)
    run = training.Run(config, data, training.tokenizer_of(config, data), "cpu")
    plain = training.Run(replace(config, no_pictures=0.0), data, run.codec.tokenizer, "cpu")
    begun = torch.load(start / "text" / "checkpoint.pt", weights_only=True)["model"]
    run.resume()
    own = run.model.state_dict()
    assert all(torch.equal(own[name], value) for name, value in begun.items() if name.startswith("lm."))
    assert run.part() == "projector"  # nothing is learned from texts alone again
    for step in range(5):
        run.step = plain.step = step
        drawn = [
            r.alike(r.pick(np.random.default_rng(step), pictures=True), np.random.default_rng(step))
            for r in (run, plain)
        ]
        assert drawn[0] == drawn[1]  # hiding pictures changes no batch
        picked, encodings = drawn[0]
        assert run.looks(picked).seen.tolist() == [float(variant.pictures)] * len(picked)
        ids = run.codec.ids
        for one in encodings:
            prompt = one.ids[: one.answer]
            assert (ids["<no_table>"] in prompt) is not variant.table
            labels = [n for n, token in enumerate(one.ids) if token in run.codec.labels]
            if ids["<cot>"] in prompt:
                assert labels == [one.answer + 1 if variant.label_first else len(one.ids) - 2]
