"""ExpLLM without torch computes what it computes with torch, and starts without it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from streamfer import config
from streamfer.errors import ModelContract, ModelMissing
from streamfer.expllm import decoder, encoding, generate
from streamfer.expllm.backends import load as load_backend
from streamfer.expllm.backends import nano
from streamfer.expllm.backends.nano import BUNDLED
from streamfer.expllm.engine import Case, ComposerWriter, Counts, build
from streamfer.expllm.graph import GRAPH, WEIGHTS
from streamfer.expllm.looks import ArrayLooks, image_tokens, pooled
from streamfer.expllm.project import gelu
from streamfer.expllm.vocabulary import Vocabulary
from tests.expllm_events import evidence

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from streamfer.expllm import model  # noqa: E402

TABLES = [evidence("6 12"), evidence("1 2 4 5 7 20 25:2.0 26"), evidence("R14:1.0")]
SHOWN = ("6 12", "4 7 23", "R14:1.0", "1 2 5 26", "9 10 17", "L12:2.0 25:0.8")


@pytest.fixture(scope="module")
def tokenizer():
    cases = [Case(f"c{n}", evidence(aus, id=f"c{n}"), None) for n, aus in enumerate(SHOWN * 4)]
    return encoding.train_tokenizer(encoding.texts_for_tokenizer(build(cases, ComposerWriter(), Counts())), 700)


@pytest.fixture(scope="module", params=model.PROJECTORS)
def folder(request, tokenizer, tmp_path_factory) -> Path:
    """A tiny ExpLLM with weights large enough that what it sees and reads matters."""
    torch.manual_seed(3)
    size = model.ModelSize(
        tokenizer.get_vocab_size(), width=32, layers=2, heads=2, inner=48, projector=request.param, features=10, early=6,
        embedding=12, bridge=16,
    )  # fmt: skip
    net = model.ExpLLM(size, model.new_lm(size), tokenizer.token_to_id("<img>"))
    with torch.no_grad():
        for name, weight in net.named_parameters():
            if "norm" not in name:
                weight.mul_(5)
    made = tmp_path_factory.mktemp(request.param)
    model.save(net, made, tokenizer, {"name": "tiny"})
    return made


def looks(count: int, channels) -> ArrayLooks:
    made = ArrayLooks.none(count, channels)
    draw = np.random.default_rng(5)
    for name in made.__slots__:
        setattr(made, name, draw.normal(size=getattr(made, name).shape).astype(np.float32))
    made.seen = np.array([1, 0, 1][:count], np.float32)
    return made


def test_the_same_logits_and_the_same_texts_as_torch(folder) -> None:
    with_torch, tokenizer, _ = model.load(folder)
    without, vocabulary, facts = decoder.load(folder, threads=1)
    assert facts == {"name": "tiny"} and vocabulary.get_vocab() == tokenizer.get_vocab()
    codec = encoding.Codec(vocabulary, image_tokens(without.projector_kind))
    seen = looks(3, without.channels)
    prompts = [codec.prompt(table, "<cot>") for table in TABLES]
    assert len({len(prompt) for prompt in prompts}) > 1, "padding is part of the test"
    one, other = with_torch.begin(prompts, seen, 120), without.begin(prompts, seen, 120)
    np.testing.assert_allclose(other.logits, one.logits, atol=2e-4)
    for token in range(300, 308):
        np.testing.assert_allclose(other.step([token] * 3), one.step([token] * 3), atol=2e-4)
    assert np.abs(without.begin(prompts, None, 120).logits - without.begin(prompts, seen, 120).logits).max() > 0.01
    how = generate.How(most_tokens=40)
    written = [generate.write(net, codec, TABLES, seen, ["a", "b", "c"], how) for net in (with_torch, without)]
    assert written[0] == written[1]
    names = ["a", "d", "b", "e", "c", "f"]
    for net in (with_torch, without):
        both = generate.write(net, codec, TABLES, seen, names, how, copies=2)
        assert both[::2] == written[0], "a copy is what it would be alone"
        assert len({one.ids for one in both}) > 3


def test_the_pieces_are_those_of_torch() -> None:
    draw = np.random.default_rng(1)
    maps = draw.normal(size=(2, 3, 14, 14)).astype(np.float32)
    for side in (3, 7):
        wanted = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(maps), side).numpy()
        np.testing.assert_allclose(pooled(maps, side), wanted, atol=1e-6)
    x = np.linspace(-6, 6, 101, dtype=np.float32)
    np.testing.assert_allclose(gelu(x), torch.nn.functional.gelu(torch.from_numpy(x)).numpy(), atol=2e-6)


def test_a_graph_of_other_weights_is_refused(folder, tmp_path) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with (tmp_path / WEIGHTS).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ModelContract, match="was written for other weights"):
        decoder.load(tmp_path, threads=1)
    (tmp_path / GRAPH).write_bytes(b"no graph")
    with pytest.raises(ModelContract, match="cannot be"):
        decoder.load(tmp_path, threads=1)
    (tmp_path / "config.json").unlink()
    with pytest.raises(ModelMissing, match="train expllm"):
        decoder.load(tmp_path, threads=1)


def test_the_bundled_model_has_its_graph_and_needs_neither_torch_nor_transformers() -> None:
    assert Vocabulary.load(BUNDLED / "tokenizer.json").token_to_id("<img>") is not None
    code = """
import sys
for name in ("torch", "transformers", "tokenizers", "peft"):
    sys.modules[name] = None
from streamfer import config
from streamfer.expllm.backends import load
from streamfer.records import Job
from tests.expllm_events import event
e = event("6:2.1 12:2.6", "macro", id="smile")
backend = load("auto", config.Explain(device="cpu"))
result, = backend.explain([Job(e.id, e, (), 0.0)], [{}])
print(backend.name, result.model, result.tokens > 50, result.cot is not None)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1], check=False
    )
    assert done.stdout.split() == ["auto", "expllm-nano", "True", "True"], done.stderr[-2000:]


@pytest.mark.parametrize(
    ("device", "driver", "torch_there", "wanted"),
    [
        pytest.param("cpu", True, True, "onnxruntime", id="cpu-asked-for"),
        pytest.param("auto", False, True, "onnxruntime", id="no-gpu"),
        pytest.param("auto", True, False, "onnxruntime", id="gpu-without-torch"),
        pytest.param("auto", True, True, "torch", id="gpu"),
        pytest.param("cuda", False, True, "torch", id="cuda-asked-for"),
    ],
)
def test_torch_is_loaded_only_where_it_is_of_use(device, driver, torch_there, wanted, tmp_path, monkeypatch) -> None:
    class Taken(Exception):
        pass

    def taken(name: str):
        def load(*_: object) -> None:
            raise Taken(name)

        return load

    monkeypatch.setattr(nano, "NVIDIA", tmp_path if driver else tmp_path / "nothing")
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: found(name) if name != "torch" or torch_there else None
    )
    monkeypatch.setattr(decoder, "load", taken("onnxruntime"))
    monkeypatch.setattr(model, "load", taken("torch"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(Taken, match=wanted):
        nano.Nano(config.Explain(device=device))


def test_without_onnxruntime_the_composer_writes(monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert load_backend("auto", config.Explain()).name == "composer"
