"""The backend openai against a server that misbehaves in every way, through the worker: each job ends, with its reason."""

from __future__ import annotations

import base64
import csv
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamfer.config import Config, Explain, Queue
from streamfer.errors import ExplainError, ModelMissing, UsageError
from streamfer.expllm.answer import as_text
from streamfer.expllm.backends import http, load
from streamfer.expllm.backends.openai import OpenAI
from streamfer.expllm.text import parse_cot
from streamfer.jobs.embedded import EmbeddedServer
from streamfer.jobs.images import decode, encode
from streamfer.jobs.memory import MemoryQueue
from streamfer.jobs.queue import open_queue
from streamfer.records import LABELS, Job, KeyFrame, Moment, Result, from_json, to_json
from streamfer.reporting import write_formats
from tests.analyses import EVENTS, write_folder
from tests.expllm_events import event
from tests.openai_stub import GOOD, Step, Stub, completion, free_port, says, stub_server
from workers import expllm

PICTURE = encode(np.full((16, 16, 3), 90, np.uint8))
READ_S = 2.0


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.setattr(http, "BACKOFF_S", 0.01)
    with stub_server() as running:
        yield running


def options(stub: Stub, **more: Any) -> Explain:
    return Explain(**{"backend": "openai", "url": stub.url, "read_s": READ_S, "retries": 1, "batch": 16, "requests": 16,
                      "wait_s": 0.0, **more})  # fmt: skip


def job(onset: int) -> Job:
    """A smile whose onset is at that second, which is how the stub knows it."""
    smile = event("12", id=f"j{onset}")
    moved = replace(smile, onset=Moment(1, float(onset)), apex=Moment(2, onset + 0.2), offset=Moment(3, onset + 0.4))
    return Job(moved.id, moved, (KeyFrame("onset", 1, float(onset)), KeyFrame("apex", 2, onset + 0.2)), time.time())


def explained(settings: Explain, *onsets: int) -> dict[int, Result]:
    """What the worker makes of these jobs. None may be left; one without any text is a dead letter, told here as a result."""
    queue = MemoryQueue()
    for onset in onsets:
        assert queue.put(f"j{onset}", to_json(job(onset)), {"onset": PICTURE, "apex": PICTURE}) == "queued"
    assert expllm.run(Config(explain=settings), queue, once=True) == 0
    assert (queue.status().waiting, queue.status().pending) == (0, 0)
    dead = {letter.id: letter.reason for letter in queue.dead()}
    done = {name: one.result for name, one in queue.find([f"j{onset}" for onset in onsets]).items() if one.result}
    assert not dead.keys() & done.keys() and len(dead) + len(done) == len(onsets)
    return {
        onset: from_json(Result, done[name]) if (name := f"j{onset}") in done
        else Result(name, None, False, (dead[name],), "openai", "", "", "none", 0, 0, 0.0, "")
        for onset in onsets
    }  # fmt: skip


FENCED = f"Sure! Here it is:\n```json\n{json.dumps(GOOD, indent=1)}\n```\nAnything else?"
HALF = json.dumps(GOOD)[:-40]
TEXT = ("**Key Observations:**\nThe lip corners rose (AU12, B, +1.5).\n\n**Overall Emotional Interpretation:**\nA smile.\n\n"
        "**Conclusion:**\nBest read as happiness.\n\nLabel: happiness")  # fmt: skip
OK = Step()

# (steps of the server; verified?; what the reasons must say; requests)
CASES: dict[str, tuple[list[Step], bool, str, int]] = {
    "good": ([OK], True, "", 1),
    "fences-and-chatter": ([says(FENCED)], True, "", 1),
    "thoughts-first": ([says(f"<think>{HALF} is it anger?</think>{json.dumps(GOOD)}")], True, "", 1),
    "no-json-but-sections": ([says(TEXT)], True, "", 1),
    "content-parts": ([says([{"type": "text", "text": json.dumps(GOOD)}])], True, "", 1),
    "list-of-sentences": ([says(json.dumps({**GOOD, "observations": ["AU12 rose.", "Slightly."]}))], True, "", 1),
    "false-claim-then-good": ([says(json.dumps({**GOOD, "observations": "AU12 and AU9 rose."})), OK], True, "", 2),
    "late-once": ([Step(after_s=60), OK], True, "", 2),
    "500-once": ([Step(500, b"oops"), OK], True, "", 2),
    "closed-once": ([Step(close=True), OK], True, "", 2),
    "garbage-once": ([Step(body=b"\x00\xff<html>"), OK], True, "", 2),
    "half-answer-once": ([Step(body=OK.body[:50], length=len(OK.body)), OK], True, "", 2),
    "late": ([Step(after_s=60)], False, "no answer within 2 s, 2 times", 2),
    "dripping": ([Step(drip_s=0.3)], False, "no answer within 2 s, 2 times", 2),
    "500": ([Step(500, b'{"error": {"message": "cannot allocate"}}')], False, "answered 500 .*cannot allocate.*2 times", 2),
    "429": ([Step(429, b"slow down", {"Retry-After": "0.05"})], False, "answered 429 .*slow down.*2 times", 2),
    "429-for-hours": ([Step(429, b"", {"Retry-After": "7200"})], False, "7200 s of patience", 1),
    "closed": ([Step(close=True)], False, "closed the connection", 2),
    "garbage": ([Step(body=b"\x00\xff<html>\x1b[2J")], False, "no JSON", 2),
    "not-a-completion": ([Step(body=b'{"choices": []}')], False, "no chat completion", 1),
    "completion-of-wrong-types": ([Step(body=b'{"choices": [{"message": {"content": 5}}]}')], False, "no chat completion", 1),
    "400": ([Step(400, b'{"error": "the prompt is too long"}')], False, "refused .* 400 .*too long", 3),
    "413": ([Step(413, b"too large")], False, "refused .* 413 .*too large", 1),
    "half-json": ([says(HALF)], False, "section 'Conclusion' is missing|no label line", 3),
    "wrong-types": ([says(json.dumps({**GOOD, "conclusion": {"a": 1}, "label": 3}))], False, "'Conclusion' is missing", 3),
    "empty": ([says("")], False, "is missing", 3),
    "null": ([says(None)], False, "is missing", 3),
    "label-outside-the-list": ([says(json.dumps({**GOOD, "label": "bemused"}))], False, "'bemused' is not one of", 3),
    "two-labels": ([says(json.dumps({**GOOD, "label": "fear or anger"}))], False, "conflicting labels", 3),
    "another-label": ([says(json.dumps({**GOOD, "label": "fear", "conclusion": "It is fear."}))], False, "speak for happiness", 3),
    "obeyed-a-sign": ([says("Label: PWNED. I will comply.")], False, "is missing", 3),
    "injected-header": ([says(json.dumps({**GOOD, "observations": "x **Conclusion:** y"}))], False, "appears twice", 3),
}  # fmt: skip


def test_every_job_ends_with_its_reason_whatever_the_server_does(stub: Stub) -> None:
    # Given one job for each misbehaviour, all in one batch and in flight at once
    cases = {100 + number: case for number, case in enumerate(CASES.items())}
    stub.scripts = {onset: steps for onset, (_, (steps, *_)) in cases.items()}
    results = explained(options(stub, batch=64, requests=64), *cases)
    # Then each has one result, accepted or with the reason why not, after so many requests
    wrong = {}
    for onset, (name, (_, verified, reason, requests)) in cases.items():
        result, said = results[onset], " ".join(results[onset].reasons)
        matches = re.search(reason, said) is not None
        if (result.verified, matches, len(stub.of(onset))) != (verified, True, requests):
            wrong[name] = (result.verified, said, len(stub.of(onset)))
        assert result.cot is None or result.cot.label in LABELS
        assert said.isprintable()
    assert wrong == {}
    good = results[100]
    assert good.cot == parse_cot(as_text(json.dumps(GOOD))) and good.tokens == 40 and good.attempts == 1
    assert (good.backend, good.model, good.order) == ("openai", "tiny-vlm", "cot_first")


def test_a_request_asks_for_the_text_before_the_label_and_carries_both_pictures(stub: Stub) -> None:
    explained(options(stub, max_tokens=123, temperature=0.5), 100)
    (request,) = stub.requests
    body = request.body
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("tiny-vlm", 123, 0.5)
    schema = body["response_format"]["json_schema"]["schema"]
    assert list(schema["properties"]) == ["observations", "interpretation", "conclusion", "label"]
    assert schema["properties"]["label"]["enum"] == list(LABELS)
    system, user = body["messages"]
    assert system["role"] == "system" and isinstance(system["content"], str)
    urls = [part["image_url"]["url"] for part in user["content"] if part["type"] == "image_url"]
    assert len(urls) == 2 and request.key is None
    assert decode(base64.b64decode(urls[0].removeprefix("data:image/jpeg;base64,"))).shape == (16, 16, 3)


def test_without_pictures_a_turn_is_plain_text(stub: Stub) -> None:
    explained(options(stub, pictures=()), 100)
    assert all(isinstance(turn["content"], str) for turn in stub.requests[0].body["messages"])


def test_the_second_request_tells_what_was_wrong(stub: Stub) -> None:
    stub.scripts[100] = CASES["false-claim-then-good"][0]
    assert explained(options(stub), 100)[100].attempts == 2
    first, second = (json.dumps(request.body["messages"][1]) for request in stub.requests)
    assert "'AU9' was not measured above the floor" in second and "refused" not in first


def test_retry_after_is_obeyed(stub: Stub) -> None:
    stub.scripts[100] = [Step(429, b"", {"Retry-After": "0.4"}), OK]
    assert explained(options(stub), 100)[100].verified
    first, second = stub.of(100)
    assert second.at_s - first.at_s >= 0.4


def test_so_many_requests_are_in_flight_and_no_more(stub: Stub) -> None:
    stub.default = lambda body: Step(after_s=0.15)
    explained(options(stub, requests=3, read_s=10), *range(100, 109))
    assert stub.most_in_flight == 3


@pytest.mark.parametrize("refused, kind", [
    ({"json_schema"}, "json_object"), ({"json_schema", "json_object"}, None),
], ids=["to-any-json", "to-plain-text"])  # fmt: skip
def test_a_server_without_schemas_is_asked_more_plainly_and_the_log_says_so_once(
    stub: Stub, caplog: pytest.LogCaptureFixture, refused: set[str], kind: str | None
) -> None:
    def answer(body: dict[str, Any]) -> Step:
        if body.get("response_format", {}).get("type") in refused:
            return Step(400, b'{"error": {"message": "response_format is not supported"}}')
        return says(TEXT if "**Key Observations:**" in body["messages"][0]["content"] else json.dumps(GOOD))

    stub.default = answer
    assert all(result.verified for result in explained(options(stub, batch=1), *range(100, 104)).values())
    assert sum("refuses a JSON schema" in record.getMessage() for record in caplog.records) == 1
    kinds = [request.body.get("response_format", {}).get("type") for request in stub.requests]
    assert len(kinds) == 4 + len(refused) and set(kinds[len(refused) :]) == {kind}


# ------------------------------------------------------------------------------------------ no server


def test_a_server_that_was_never_there_stops_the_worker() -> None:
    settings = Explain(backend="openai", url=f"http://127.0.0.1:{free_port()}/v1", retries=0)
    with pytest.raises(ExplainError, match=r"no explanations now: .* cannot be reached \(Connection refused\)"):
        load("openai", settings)


@pytest.mark.parametrize("gone", ["stopped", "gateway"])
def test_a_server_that_goes_away_gives_the_jobs_back_untried(stub: Stub, gone: str) -> None:
    queue = MemoryQueue()
    for onset in range(100, 104):
        queue.put(f"j{onset}", to_json(job(onset)), {"onset": PICTURE, "apex": PICTURE})
    settings = options(stub, batch=2, retries=0)
    backend = load("openai", settings)
    if gone == "stopped":
        stub.stop()
    else:
        stub.default = lambda body: Step(502, b"bad gateway")
        stub.models = Step(502, b"bad gateway")
    with pytest.raises(ExplainError) as caught:
        expllm.run(Config(explain=settings), queue, backend, once=True)
    assert caught.value.exit_code == 7
    assert (queue.status().waiting, queue.status().pending, queue.status().dead) == (4, 0, 0)


def test_jobs_that_a_living_server_cannot_answer_are_not_taken_for_its_absence(stub: Stub) -> None:
    stub.default = lambda body: Step(503, b"out of memory")
    result = explained(options(stub), 100)[100]
    assert result.cot is None and "answered 503 (out of memory), 2 times" in result.reasons[0]


@pytest.mark.parametrize("change, error, says_", [
    ({"url": None}, UsageError, "needs explain.url"),
    ({"url": "ftp://x/v1"}, UsageError, "must begin with http"),
    ({"url": "http://127.0.0.1:99999/v1"}, UsageError, "port"),
    ({"api_key_env": "STREAMFER_TEST_NO_SUCH_KEY"}, UsageError, "STREAMFER_TEST_NO_SUCH_KEY, but .* not set"),
    ({"api_key_env": "STREAMFER_TEST_BAD_KEY"}, UsageError, "cannot be a key"),
], ids=["no-address", "scheme", "port", "no-key", "bad-key"])  # fmt: skip
def test_what_cannot_be_used_is_said(
    stub: Stub, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], error: type[Exception], says_: str
) -> None:
    monkeypatch.setenv("STREAMFER_TEST_BAD_KEY", "sk-secret\nx")
    with pytest.raises(error, match=says_) as caught:
        load("openai", options(stub, **change))
    assert "sk-secret" not in str(caught.value)


def test_the_model_is_the_servers_only_one_or_must_be_named(stub: Stub) -> None:
    assert OpenAI(options(stub)).model == "tiny-vlm"
    stub.models = Step(body=b'{"data": [{"id": "a"}, {"id": "b"}]}')
    with pytest.raises(UsageError, match="has a, b"):
        OpenAI(options(stub))
    assert OpenAI(options(stub, model="b")).model == "b"
    stub.models = Step(404, b"")
    assert OpenAI(options(stub, model="c")).model == "c"
    stub.models = Step(500, b"no cache folder")
    assert OpenAI(options(stub, model="c", retries=0)).model == "c"


@pytest.mark.parametrize("status, error", [(401, ExplainError), (403, ExplainError), (404, ModelMissing), (301, ExplainError)])
def test_what_every_request_would_get_stops_the_worker(stub: Stub, status: int, error: type[Exception]) -> None:
    stub.default = lambda body: Step(status, b'{"error": {"message": "no"}}', {"Location": "/elsewhere"})
    backend = OpenAI(options(stub))
    with pytest.raises(error):
        backend.explain([job(100)], [{}])


def test_the_key_is_sent_and_shown_nowhere(
    stub: Stub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "sk-not-to-be-seen-0123456789"
    monkeypatch.setenv("STREAMFER_TEST_KEY", secret)
    caplog.set_level(logging.DEBUG)
    stub.scripts[101] = [Step(500, f"the key {secret} is odd".encode())]
    settings = options(stub, api_key_env="STREAMFER_TEST_KEY")
    results = explained(settings, 100, 101)
    assert {request.key for request in stub.requests} == {f"Bearer {secret}"}
    assert "the key *** is odd" in results[101].reasons[0]
    stub.default = lambda body: Step(401, f"wrong key {secret}".encode())
    backend = OpenAI(settings)
    with pytest.raises(ExplainError) as caught:
        backend.explain([job(102)], [{}])
    shown = [caplog.text, str(caught.value), repr(backend), repr(settings), *map(to_json, results.values())]
    assert secret not in " ".join(shown)


@pytest.mark.parametrize("url", ["http://me:pass@host/v1", "https://host/v1?key=pass"])
def test_an_address_with_a_secret_is_refused_unseen(url: str) -> None:
    from streamfer.config import load as load_config

    with pytest.raises(UsageError, match=r"explain.url: .*explain.api_key_env") as caught:
        load_config(None, {"explain.url": url})
    assert "pass@" not in str(caught.value) and "key=pass" not in str(caught.value)


# ------------------------------------------------------------------------------------- reading answers


@settings(deadline=None)
@given(st.one_of(st.text(), st.text('{}[]":,\\ \nlabeobservtn<think>/*', max_size=300)))
def test_any_answer_can_be_read(content: str) -> None:
    assert isinstance(as_text(content), str)


@settings(deadline=None)
@given(st.integers(0, len(FENCED)))
def test_an_answer_cut_anywhere_is_whole_or_refused(at: int) -> None:
    from streamfer.errors import ParseError

    try:
        assert parse_cot(as_text(FENCED[:at])) == parse_cot(as_text(FENCED))
    except ParseError as error:
        assert error.reasons


@pytest.mark.parametrize("value, expected", [
    (None, 0.0), ("3", 3.0), ("0.5", 0.5), ("-1", 0.0), ("soon", 0.0), ("1e999", 1e6), ("nan", 0.0),
    ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
])  # fmt: skip
def test_retry_after(value: str | None, expected: float) -> None:
    assert http._retry_after(value) == expected


# -------------------------------------------------------------------------------- where text is shown

HOSTILE = ('</script><script>document.title="hacked"</script><img src=x onerror=alert(1)> {{7*7}} & "q" \'q\' ]]> <v P1> --> '
           "AU12 rose.\x1b[2J\x00\u202e")  # fmt: skip


def test_hostile_text_of_a_model_is_text_wherever_it_is_shown(stub: Stub, tmp_path: Path) -> None:
    from pympi.Elan import Eaf
    from pympi.Praat import TextGrid

    # Given a server that answers with mark-up, a formula and terminal commands in its sections
    stub.default = lambda body: says(json.dumps(
        {**GOOD, "observations": HOSTILE, "interpretation": f"=HYPERLINK(\"http://x\")\n{HOSTILE}", "conclusion": "@happiness"}
    ))  # fmt: skip
    cot = explained(options(stub, attempts=1), 100)[100].cot
    assert cot is not None and "<script>" in cot.observations and cot.observations.isprintable()
    # When its text is shown in every format
    folder = write_folder(tmp_path, text="x")
    lines = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    lines[0]["explanation"]["cot"] = {"observations": cot.observations, "interpretation": cot.interpretation,
                                      "conclusion": cot.conclusion, "label": cot.label}  # fmt: skip
    (folder / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_formats(folder, ["csv", "eaf", "vtt", "srt", "textgrid", "parquet", "html"])
    # Then each holds it as text and no more
    page = (folder / "report.html").read_text()
    assert "<script>document.title" not in page and "<img src=x" not in page
    with (folder / "events.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(EVENTS) and table[0]["observations"] == cot.observations
    assert table[0]["interpretation"].startswith("'=HYPERLINK") and table[0]["conclusion"] == "'@happiness"
    whole = f"{cot.observations} {cot.interpretation} {cot.conclusion}"
    spans = Eaf(str(folder / "events.eaf")).get_annotation_data_for_tier("P1 explanation")
    assert next(span[2] for span in spans) == whole
    grid = TextGrid(str(folder / "events.TextGrid"))
    assert whole in {text for tier in grid.get_tiers() if "explanation" in tier.name for *_, text in tier.get_all_intervals()}
    for name in ("events.vtt", "events.srt"):
        assert (folder / name).read_text().count("-->") == len(EVENTS), "no cue of its own"


# ------------------------------------------------------------------------------------- a killed worker


def test_a_worker_killed_in_the_middle_of_a_batch_loses_and_doubles_nothing(stub: Stub, tmp_path: Path) -> None:
    stub.default = lambda body: Step(after_s=0.05 if len(stub.requests) <= 6 else 60)  # the second batch gets stuck half-way
    settings = options(stub, batch=4, requests=2, read_s=90)
    with EmbeddedServer() as server:
        config = Config(explain=settings, queue=Queue(url=server.url, lease_s=0.8, max_deliveries=3))
        from streamfer.config import to_yaml

        (tmp_path / "config.yaml").write_text(to_yaml(config))
        queue = open_queue(config.queue)
        ids = [f"j{onset}" for onset in range(100, 112)]
        for onset in range(100, 112):
            queue.put(f"j{onset}", to_json(job(onset)), {"onset": PICTURE, "apex": PICTURE})

        def worker() -> subprocess.Popen[bytes]:
            log = (tmp_path / "log").open("ab")
            with log:
                return subprocess.Popen(
                    [sys.executable, "-m", "workers.expllm", "--config", str(tmp_path / "config.yaml")],
                    stderr=log, env={**os.environ, "PYTHONWARNINGS": "ignore"}, cwd=Path(__file__).parent.parent,
                )  # fmt: skip

        def until(reached: Any) -> None:
            deadline = time.monotonic() + 60
            while not reached():
                assert time.monotonic() < deadline, (tmp_path / "log").read_text()[-2000:]
                time.sleep(0.02)

        # When a worker is killed with half of its second batch answered, and another one comes
        victim = worker()
        until(lambda: len(stub.requests) >= 7)
        victim.kill()
        victim.wait()
        stub.default = lambda body: Step()
        answered, held = len(queue.find(ids)), queue.status().pending
        heir = worker()
        try:
            until(lambda: len(queue.find(ids)) == len(ids))
        finally:
            heir.send_signal(signal.SIGTERM)
            assert heir.wait(20) == 0
        # Then the batch in its hands was begun twice, and each job has one result
        ended = queue.results()[1]
        assert (answered, held) == (4, 4)
        assert sorted(one.id for one in ended) == sorted(ids) and queue.dead() == []
        assert all(from_json(Result, one.result or "").verified for one in ended)
        assert len(stub.requests) > len(ids)
        queue.client.close()


def test_the_stub_speaks_as_such_servers_do() -> None:
    assert json.loads(completion("x"))["choices"][0]["message"]["content"] == "x"
