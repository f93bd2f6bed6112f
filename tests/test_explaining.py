"""The analysis' side of explanations: what a private worker's end means, and what asking again may cost."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from streamfer.config import Config
from streamfer.config import Output as OutputOptions
from streamfer.errors import ExplainError, ModelError, QueueError, StreamferError, UsageError
from streamfer.explaining import Explainer
from streamfer.jobs.client import unexplained
from streamfer.output import Output
from streamfer.progress import Progress
from streamfer.records import ChainOfThought, Event, Moment, Result, to_json
from streamfer.reporting import folder as files

TEXT = ChainOfThought("AU12", "a smile", "happy", "happiness")


def result(event_id: str, conclusion: str) -> Result:
    cot = replace(TEXT, conclusion=conclusion)
    return Result(event_id, cot, True, (), "test", "m", "r", "cot_first", 1, 10, 0.1, "w")


@pytest.mark.parametrize(
    ("code", "kind"),
    [(2, UsageError), (5, ModelError), (6, QueueError), (7, ExplainError), (1, QueueError), (-9, QueueError)],
)
def test_a_private_workers_exit_code_is_the_runs(code: int, kind: type[StreamferError]) -> None:
    ending = f"import os, sys; sys.stderr.write('streamfer: no such model'); sys.stderr.flush(); os.kill(os.getpid(), {-code})" \
        if code < 0 else f"import sys; sys.stderr.write('streamfer: no such model'); sys.exit({code})"  # fmt: skip
    with Explainer(Config()) as explainer, tempfile.TemporaryFile() as said:
        explainer._worker_log = said
        explainer._worker = subprocess.Popen([sys.executable, "-c", ending], stderr=said)
        explainer._worker.wait(60)
        explainer._waiting.add("e1")
        assert list(explainer.finish()) == []
        assert type(explainer.failed) is kind and str(explainer.failed).endswith(f"exit code {code}: no such model")
        assert explainer.failed.exit_code == {1: 6, -9: 6}.get(code, code)
        explainer._worker = None


def test_a_result_is_there_to_be_written_before_the_next_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    coming = [[], [result("e1", "one")], [result("e2", "two")]]
    with Explainer(Config()) as explainer:
        explainer._waiting |= {"e1", "e2"}
        monkeypatch.setattr(explainer, "poll", lambda: explainer._took(coming.pop(0)))
        results = explainer.finish()
        assert next(results).id == "e1" and len(coming) == 1
        assert [one.id for one in results] == ["e2"]


class Answers:
    """An Explainer without a queue: gives what it is told to, for what was submitted."""

    failed: StreamferError | None = None

    def __init__(self, results: dict[str, Result | StreamferError]) -> None:
        self.results, self.asked = results, list[str]()

    def submit(self, event: Event, pictures: object) -> None:
        self.asked.append(event.id)

    def finish(self, stop: object) -> list[Result]:
        found = [self.results[name] for name in self.asked if name in self.results]
        self.failed = next((one for one in found if isinstance(one, StreamferError)), None)
        return [one for one in found if isinstance(one, Result)]


@pytest.fixture
def analysed(tmp_path: Path) -> Path:
    """A folder with two explained events and one that is not."""
    lines = []
    for n in range(3):
        moment = Moment(n * 10, n / 3)
        lines.append(Event(f"e{n}", "clip", "P1", 1, "macro", moment, moment, moment, 0.0, 0.0, (), (), 0.5))
    (tmp_path / files.EVENTS).write_text("".join(to_json(line) + "\n" for line in lines))
    (tmp_path / files.RUN).write_text('{"timings_s": {}}')
    for n in range(2):
        files.append(tmp_path / files.EXPLANATIONS, result(f"e{n}", "old"))
    files.merge(tmp_path)
    return tmp_path


def ask(folder: Path, answers: Answers, again: bool) -> tuple[int, list[str | None]]:
    config = Config(output=OutputOptions(formats=[]))
    code = Output(folder).explain_and_export(config, answers, 0, Progress(), threading.Event(), again=again)  # type: ignore[arg-type]
    told = [one.result.cot if one.result else None for one in files.load(folder).explained]
    return code, [cot.conclusion if cot else None for cot in told]


@pytest.mark.parametrize(
    ("again", "answers", "code", "told", "asked"),
    [
        pytest.param(False, {"e2": result("e2", "new")}, 0, ["old", "old", "new"], 1, id="the-missing-one"),
        pytest.param(True, {f"e{n}": result(f"e{n}", "new") for n in range(3)}, 0, ["new"] * 3, 3, id="all-again"),
        pytest.param(True, {"e0": unexplained("e0", "x"), "e1": result("e1", "new"), "e2": result("e2", "new")}, 7,
                     ["old", "new", "new"], 3, id="one-refused-keeps-its-old-text"),
        pytest.param(True, {"e0": ModelError("no such model")}, 5, ["old", "old", None], 3, id="no-backend-loses-nothing"),
        pytest.param(True, {}, 7, ["old", "old", None], 3, id="no-answer-loses-nothing"),
        pytest.param(True, {"e2": result("e2", "new")}, 7, ["old", "old", "new"], 3, id="no-answer-is-said"),
    ],
)  # fmt: skip
def test_asking_again_never_loses_a_text(analysed, again, answers, code, told, asked) -> None:
    given = Answers(answers)
    assert ask(analysed, given, again) == (code, told)
    assert len(given.asked) == asked
