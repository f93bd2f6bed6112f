"""The deployment files say what the code does: stream names, commands, options, settings that keep jobs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from streamfer.config import Config
from streamfer.errors import UsageError
from streamfer.jobs.embedded import EmbeddedServer
from streamfer.jobs.queue import Keys, Queue, connect
from streamfer.records import VideoJob, VideoResult, from_json, to_json
from workers import enqueue, expllm, screen

ROOT = Path(__file__).parent.parent
COMPOSE = ROOT / "docker" / "compose.yaml"
DEPLOY = ROOT / "docs" / "deploy.md"
MODULES = {"workers.expllm": expllm.main, "workers.screen": screen.main, "workers.enqueue": enqueue.main}


def compose() -> dict[str, Any]:
    return yaml.safe_load(COMPOSE.read_text())


def manifests() -> list[dict[str, Any]]:
    blocks = re.findall(r"```yaml\n(.*?)```", DEPLOY.read_text(), re.S)
    return [document for block in blocks for document in yaml.safe_load_all(block)]


def commands() -> list[list[str]]:
    found = [service["command"] for name, service in compose()["services"].items() if name not in ("queue", "enqueue")]

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(node.get("command"), list) and "-m" in node["command"]:
                found.append(node["command"])
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(manifests())
    return found


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_is_one_that_the_worker_takes(command: list[str]) -> None:
    at = command.index("-m")
    main = MODULES[command[at + 1]]
    context = main.make_context("worker", list(command[at + 2 :]))
    for assignment in context.params["assignments"]:
        section, _, key = assignment.partition("=")[0].partition(".")
        assert key in type(getattr(Config(), section)).model_fields


def test_there_are_six_commands() -> None:
    assert len(commands()) == 6


def test_the_queue_keeps_its_jobs() -> None:
    command = compose()["services"]["queue"]["command"]
    settings = dict(zip(command[1::2], command[2::2], strict=True))
    assert (settings["--appendonly"], settings["--appendfsync"]) == ("yes", "everysec")
    assert settings["--maxmemory-policy"] == "noeviction" and "--maxmemory" in settings
    assert "requirepass" in " ".join(settings)
    assert compose()["services"]["queue"]["ports"] == ["127.0.0.1:6379:6379"]


def test_autoscaling_looks_at_the_job_streams() -> None:
    triggers = [t for m in manifests() for t in m["spec"].get("triggers", [])]
    assert {t["metadata"]["stream"] for t in triggers} == {*Keys("sf", "explain").streams, Keys("sf", "video").stream("batch")}
    assert all("streamLength" in t["metadata"] for t in triggers)


def test_workers_run_without_root_and_have_a_health_check() -> None:
    for name, service in compose()["services"].items():
        if name not in ("queue", "enqueue"):
            assert service["user"].startswith("${USER_ID") and service["cap_drop"] == ["ALL"] and service["read_only"]
            assert "/tmp/alive" in service["healthcheck"]["test"][1] and "/tmp/alive" in service["command"]
    for file in ("Dockerfile", "Dockerfile.gpu"):
        text = (ROOT / "docker" / file).read_text()
        assert "\nUSER streamfer\n" in text and "libgl1" in text


# ------------------------------------------------------------------------------------------ enqueue


def test_videos_are_put_once_and_their_summaries_come_back() -> None:
    with EmbeddedServer() as server:
        arguments = ["/videos/a.mp4", "/videos/b.mp4", "/videos/c.mp4", "--output", "/out", "--redis", server.url,
                     "--set", "faces.max_faces=2"]  # fmt: skip
        run = CliRunner().invoke
        assert run(enqueue.main, arguments, standalone_mode=False).return_value == 0
        assert run(enqueue.main, arguments, standalone_mode=False).return_value == 0
        queue = Queue(connect(server.url), topic="video")
        a, b, c = (queue.get("w")[0] for _ in range(3))
        assert queue.get("w") == []
        job = from_json(VideoJob, a.payload)
        assert (job.path, job.output, job.options) == ("/videos/a.mp4", "/out", {"faces.max_faces": 2})
        queue.finish(a.entry, a.id, to_json(VideoResult(a.id, 0, "", {"frames": 5}, 1.0, "w")))
        queue.finish(b.entry, b.id, to_json(VideoResult(b.id, 4, "damaged", {}, 1.0, "w")))
        queue.fail(c.entry, c.id, "no disk", retry=False)
        done = run(enqueue.main, [*arguments, "/videos/d.mp4", "--wait", "0.05"], standalone_mode=False)
        assert done.return_value == 4
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert [(line["exit_code"], line.get("message")) for line in lines] == [
            (0, ""), (4, "damaged"), (1, "no disk"), (1, "not finished within 0.05 s"),
        ]  # fmt: skip


def test_an_option_that_does_not_exist_is_told_before_anything_is_put() -> None:
    done = CliRunner().invoke(enqueue.main, ["a.mp4", "--output", "o", "--set", "faces.maxfaces=1"], standalone_mode=False)
    assert isinstance(done.exception, UsageError) and "did you mean 'faces.max_faces'" in str(done.exception)


def test_the_id_of_a_video_job_depends_on_what_is_asked() -> None:
    ids = {enqueue.video_job(*what).id for what in (
        ("a", "o", {}), ("b", "o", {}), ("a", "p", {}), ("a", "o", {"faces.max_faces": 2}),
    )}  # fmt: skip
    assert len(ids) == 4 and enqueue.video_job("a", "o", {}).id in ids
