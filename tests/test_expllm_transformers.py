"""The backend transformers with a real model of a few thousand weights, alone and behind a real server of its own."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamfer.config import Config, Explain
from streamfer.errors import ExtraMissing, ModelError, ModelMissing, ProviderUnavailable, UsageError
from streamfer.expllm.attempts import Ask
from streamfer.expllm.backends import load
from streamfer.expllm.backends import transformers as module
from streamfer.expllm.backends.transformers import Transformers
from streamfer.expllm.text import parse_cot
from streamfer.jobs.images import encode
from streamfer.jobs.memory import MemoryQueue
from streamfer.records import Result, from_json, to_json
from tests import tiny_vlm
from tests.openai_stub import free_port
from tests.tiny_vlm import ANSWER, FROWN, PICTURES, SMILE, ask, job
from workers import expllm

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("models") / "tiny-vlm"
    with pytest.MonkeyPatch.context() as patch:
        tiny_vlm.short_rules(patch)
        assert tiny_vlm.make(made) < 0.05, "it did not learn its answer"
    return made


@pytest.fixture(autouse=True)
def short_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_vlm.short_rules(monkeypatch)


@pytest.fixture(scope="module")
def shared(folder: Path) -> Transformers:
    return Transformers(options(folder))


def options(folder: Path, **more: Any) -> Explain:
    return Explain(**{"backend": "transformers", "model": str(folder), "device": "cpu", "max_tokens": 120, "attempts": 2, **more})


def test_a_model_writes_and_what_is_false_is_asked_again(shared: Transformers) -> None:
    smile, frown = shared.explain([job(SMILE), job(FROWN)], [PICTURES, PICTURES])
    assert smile.cot == parse_cot(ANSWER) and smile.verified and smile.attempts == 1 and smile.tokens > 20
    assert not frown.verified and frown.reasons and frown.attempts == 2 and frown.tokens > smile.tokens
    assert (smile.backend, smile.model, smile.order) == ("transformers", "tiny-vlm", "cot_first")


def test_rows_of_a_batch_are_what_they_are_alone(shared: Transformers) -> None:
    """Prompts of different length: the padding must be invisible to the model."""
    asks = [ask(SMILE), replace(ask(FROWN), feedback=("'AU9' was not measured above the floor",) * 3)]
    assert shared.write(asks) == [shared.write([one])[0] for one in asks]


def test_without_pictures_the_table_alone_is_shown(folder: Path) -> None:
    (draft,) = Transformers(options(folder, pictures=(), max_tokens=32)).write([ask(SMILE)])
    assert draft.error is None and draft.tokens > 0


def test_the_revision_names_the_weights(folder: Path, shared: Transformers, tmp_path: Path) -> None:
    import shutil

    other = tmp_path / "other"
    shutil.copytree(folder, other)
    assert module._revision(other) == shared.revision
    weights = bytearray((other / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (other / "model.safetensors").write_bytes(weights)
    assert module._revision(other) != shared.revision


# ------------------------------------------------------------------------------------------ trouble


def failing(monkeypatch: pytest.MonkeyPatch, backend: Transformers, fails: Callable[[list[Ask]], Exception | None]) -> list[int]:
    """The sizes of the batches that were tried."""
    tried: list[int] = []
    generate = Transformers._generate

    def generating(self: Transformers, asks: list[Ask]) -> Any:
        tried.append(len(asks))
        if (error := fails(asks)) is not None:
            raise error
        return generate(self, asks)

    monkeypatch.setattr(Transformers, "_generate", generating)
    monkeypatch.setattr(backend, "_limit", 8)
    return tried


def out_of_memory(kind: str) -> Exception:
    import torch

    return {
        "gpu": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        "cpu": RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"),
        "python": MemoryError(),
    }[kind]


@pytest.mark.parametrize("kind", ["gpu", "python", "cpu"])
def test_out_of_memory_halves_the_batch_and_goes_on(
    shared: Transformers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    tried = failing(monkeypatch, shared, lambda asks: out_of_memory(kind) if len(asks) > 1 else None)
    drafts = shared.write([ask(SMILE)] * 3)
    assert tried == [3, 1, 1, 1] and all(draft.text == drafts[0].text and draft.error is None for draft in drafts)
    assert parse_cot(drafts[0].text) == parse_cot(ANSWER)
    assert "out of memory with a batch of 3 on cpu: going on with 1" in caplog.text
    shared.write([ask(SMILE)] * 2)
    assert tried[4:] == [1, 1], "the smaller batch is kept"


def test_a_job_that_does_not_fit_ends_with_that_reason(shared: Transformers, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, shared, lambda asks: out_of_memory("gpu"))
    smile, frown = shared.explain([job(SMILE), job(FROWN)], [PICTURES, PICTURES])
    assert (smile.cot, frown.cot) == (None, None) and "not enough memory for a single job" in smile.reasons[0]


def test_one_job_that_the_model_cannot_take_leaves_the_others(shared: Transformers, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = failing(
        monkeypatch, shared, lambda asks: ValueError("bad\npicture") if any(a.job.id == "frown" for a in asks) else None
    )
    smile, frown = shared.explain([job(SMILE), job(FROWN)], [PICTURES, PICTURES])
    assert tried == [2, 1, 1] and smile.verified
    assert frown.cot is None and frown.reasons == ("the model failed on this job (bad)",)


def test_a_lost_gpu_stops_the_worker(shared: Transformers, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, shared, lambda asks: RuntimeError("CUDA error: device-side assert triggered"))
    with pytest.raises(ModelError, match="the GPU failed while generating"):
        shared.write([ask(SMILE)])


def empty(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.mark.parametrize("change, error, says", [
    (lambda path: {"model": None}, UsageError, "needs explain.model"),
    (lambda path: {"model": str(path / "no")}, ModelMissing, "has no config.json.*nothing is downloaded"),
    (lambda path: {"adapter": str(path)}, ModelMissing, "has no adapter_config.json"),
    (lambda path: {"device": "cuda"}, ProviderUnavailable, "sees no GPU"),
], ids=["no-model", "no-folder", "no-adapter", "no-gpu"])  # fmt: skip
def test_what_is_missing_is_said(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Any, error: type[Exception], says: str
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(error, match=says):
        load("transformers", options(folder, **change(tmp_path)))


def test_a_folder_that_holds_no_such_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ModelError, match="not an image-text-to-text model that can be loaded"):
        load("transformers", options(tmp_path))


def test_weights_that_may_hold_code_are_refused(folder: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(folder, tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").rename(tmp_path / "m" / "pytorch_model.bin")
    with pytest.raises(ModelError, match="not an image-text-to-text model that can be loaded"):
        load("transformers", options(tmp_path / "m"))


def test_a_missing_package_names_the_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ExtraMissing, match=r"pip install 'streamfer\[expllm\]'"):
        load("transformers", options(folder))


# ---------------------------------------------------------------------------------- adapter, format


def test_a_lora_adapter_changes_what_is_said(folder: Path, shared: Transformers, tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(folder, local_files_only=True)
    adapted = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"]))
    torch.manual_seed(1)
    for name, weights in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights)
    adapted.save_pretrained(str(tmp_path / "adapter"))
    backend = Transformers(options(folder, adapter=str(tmp_path / "adapter"), max_tokens=40))
    assert not any("lora" in name for name, _ in backend._model.named_modules()), "merged: costs nothing at run time"
    assert backend.write([ask(SMILE)])[0].text != shared.write([ask(SMILE)])[0].text
    assert backend.revision != shared.revision
    (tmp_path / "adapter" / "adapter_model.safetensors").rename(tmp_path / "adapter" / "adapter_model.bin")
    with pytest.raises(ModelMissing, match="may hold code"):
        Transformers(options(folder, adapter=str(tmp_path / "adapter")))


@pytest.mark.parametrize("device, wanted, capability, name, why", [
    ("cpu", "auto", (0, 0), "float32", "CPU"),
    ("cuda", "auto", (9, 0), "bfloat16", "compute capability 9.0"),
    ("cuda", "auto", (7, 5), "float16", "no fast bfloat16"),
    ("cuda", "float32", (9, 0), "float32", "explain.dtype"),
    ("cpu", "bfloat16", (0, 0), "bfloat16", "explain.dtype"),
], ids=["cpu", "new-gpu", "old-gpu", "gpu-told", "cpu-told"])  # fmt: skip
def test_the_number_format_is_chosen_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, device: str, wanted: str, capability: tuple[int, int], name: str, why: str
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    dtype, reason = module._dtype(torch, device, wanted)
    assert dtype == getattr(torch, name) and why in reason


def test_bfloat16_runs_and_the_log_says_why(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    backend = Transformers(options(folder, dtype="bfloat16", max_tokens=32))
    assert "bfloat16 on cpu, as explain.dtype says" in caplog.text
    assert backend.write([ask(SMILE)])[0].error is None


def test_a_template_without_a_system_turn_gets_the_rules_in_the_question(
    shared: Transformers, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = tiny_vlm.TEMPLATE
    refusing = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system turn') }}{% endif %}" + plain
    for template, takes in ((plain, True), (refusing, False)):
        monkeypatch.setattr(shared._processor, "chat_template", template)
        monkeypatch.setattr(shared, "_system_turn", shared._takes_system_turn(Path("m")))
        assert shared._system_turn is takes
        from streamfer.expllm import prompt

        assert tiny_vlm.RULES["text"] in shared._render(prompt.messages(ask(SMILE), [], "text"))


# ------------------------------------------------------------------------------------ a real server


@pytest.mark.slow
def test_the_backend_openai_with_a_real_server(folder: Path, tmp_path: Path) -> None:
    """transformers serve, which knows no response_format, lists models only from a cache, and takes pictures as data."""
    pytest.importorskip("fastapi")
    pytest.importorskip("openai")
    port = free_port()
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [str(Path(sys.executable).with_name("transformers")), "serve", str(folder), "--port", str(port), "--host",
             "127.0.0.1", "--device", "cpu"],
            stdout=log, stderr=log,
            env={"PATH": "/usr/bin:/bin", "HF_HUB_OFFLINE": "1", "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 90
        while not answers(port):
            assert server.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()[-3000:]
            time.sleep(0.2)
        settings = Explain(backend="openai", url=f"http://127.0.0.1:{port}/v1", model=str(folder), max_tokens=120, attempts=2,
                           retries=0, requests=2)  # fmt: skip
        queue = MemoryQueue()
        sent = {role: encode(np.asarray(picture)) for role, picture in PICTURES.items()}
        for one in (job(SMILE), job(FROWN)):
            queue.put(one.id, to_json(one), sent)
        assert expllm.run(Config(explain=settings), queue, once=True) == 0
        smile = from_json(Result, queue.find(["smile"])["smile"].result or "")
        assert smile.cot == parse_cot(ANSWER) and smile.verified and smile.tokens > 20, smile.reasons
        (frown,) = queue.dead()  # no readable text in two attempts
        assert frown.id == "frown" and frown.reason.startswith("openai: ")
    finally:
        server.terminate()
        server.wait(20)


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
            return json.loads(answer.read()) is not None
    except OSError:
        return False
