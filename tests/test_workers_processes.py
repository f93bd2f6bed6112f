"""Worker processes against a real server, killed, frozen and terminated: nothing is lost and nothing ends twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from streamfer.errors import QueueUnreachable
from streamfer.jobs.connection import connect
from streamfer.jobs.embedded import server_program
from streamfer.jobs.images import encode
from streamfer.jobs.queue import Queue
from streamfer.records import Event, Job, KeyFrame, Moment, Result, from_json, to_json

LEASE_S = 0.6
GREY = encode(np.full((8, 8, 3), 90, np.uint8))

# What the backend does with a job is written in the `source` of its event.
WORKER = """
import os, sys, time
from streamfer.config import Config, Explain, Queue
from streamfer.records import ChainOfThought, Result
from workers import expllm

def note(text):
    with open(sys.argv[3], "a") as file: file.write(f"{text} {os.getpid()}\\n")

class Backend:
    name = "test"
    def explain(self, jobs, images):
        for job in jobs:
            what, _, value = job.event.source.partition(" ")
            if what == "exit": os._exit(9)        # as the kernel does when memory runs out
            if what == "raise": raise ValueError(value)
            if what == "sleep":
                note(f"begun-{job.id}")
                time.sleep(float(value))
            note(job.id)
        cot = ChainOfThought("o", "i", "c", "neutral")
        return [Result(j.id, cot, True, (), "test", "m", "r", "cot_first", 1, 1, 0.0, "") for j in jobs]

if "--with-parent" in sys.argv: expllm.end_with_parent(os.getppid())
import logging; logging.basicConfig(level=logging.INFO)
print("ready", flush=True)
config = Config(queue=Queue(lease_s=float(sys.argv[2]), max_deliveries=3), explain=Explain(batch=16, wait_s=0.01))
raise SystemExit(expllm.run(config, sys.argv[1], Backend()))
"""


class Lab:
    """A server that keeps its data on disk, and worker processes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.url, self.ran = folder, f"unix://{folder}/s", folder / "ran"
        self.workers: list[subprocess.Popen[str]] = []
        (folder / "worker.py").write_text(WORKER)
        self.ran.touch()
        self.log = (folder / "log").open("a")
        self.start_server()

    def start_server(self) -> None:
        (self.folder / "s").unlink(missing_ok=True)
        self.server = subprocess.Popen(
            [str(server_program()), "--port", "0", "--unixsocket", "s", "--save", "", "--appendonly", "yes",
             "--appendfsync", "everysec", "--dir", "."],
            cwd=self.folder, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    def queue(self) -> Queue:
        return Queue(connect(self.url), lease_s=LEASE_S, limit=100_000)

    def start_worker(self, *options: str) -> subprocess.Popen[str]:
        worker = subprocess.Popen(
            [sys.executable, str(self.folder / "worker.py"), self.url, str(LEASE_S), str(self.ran), *options],
            stdout=subprocess.PIPE, stderr=self.log, text=True,
        )  # fmt: skip
        self.workers.append(worker)
        return worker

    def ready_worker(self, *options: str) -> subprocess.Popen[str]:
        worker = self.start_worker(*options)
        assert worker.stdout is not None and worker.stdout.readline() == "ready\n"
        return worker

    def ran_ids(self) -> list[str]:
        return [line.split()[0] for line in self.ran.read_text().splitlines()]

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()
            worker.wait()
            assert worker.stdout is not None
            worker.stdout.close()
        self.server.kill()
        self.server.wait()
        self.log.close()


@pytest.fixture
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    running = Lab(tmp_path_factory.mktemp("lab"))
    yield running
    running.close()


def put(queue: Queue, job_id: str, what: str = "work") -> None:
    moment = Moment(3, 0.1)
    event = Event(job_id, what, "P1", 1, "micro", moment, moment, moment, 0.1, 0.2, (), (), 0.5)
    job = Job(job_id, event, (KeyFrame("apex", 3, 0.1),), 0.0)
    assert queue.put(job_id, to_json(job), {"apex": GREY}) in ("queued", "duplicate")


def until(condition: Callable[[], bool], within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.mark.slow
def test_ten_thousand_jobs_through_killed_workers_and_a_killed_server(lab: Lab) -> None:
    # Given 10,000 jobs, among them four that kill their worker, three that raise and one of three leases' length
    queue = lab.queue()
    poison, raising = {f"j{i}" for i in (100, 3500, 6001, 9000)}, {f"j{i}" for i in (7, 5000, 8500)}
    ids = [f"j{i}" for i in range(10_000)]

    def submit(job_id: str) -> None:
        what = "exit" if job_id in poison else "raise no eyes" if job_id in raising else "work"
        put(queue, job_id, f"sleep {3 * LEASE_S}" if job_id == "j4000" else what)

    for job_id in ids[:9_500]:
        submit(job_id)
    held_back = ids[9_500:]  # until all blows have fallen, so that a fast machine is not done before
    # And workers of which one is killed or frozen every half a second, and a server that is killed twice
    dice = random.Random(7)
    team = [lab.start_worker() for _ in range(3)]
    kills = frozen = server_kills = 0
    deadline = time.monotonic() + 100
    next_blow = time.monotonic() + 1.5
    while time.monotonic() < deadline:
        time.sleep(0.05)
        team = [worker for worker in team if worker.poll() is None]
        team += [lab.start_worker() for _ in range(3 - len(team))]
        try:
            status = queue.status()
        except QueueUnreachable:
            continue
        if kills == 8 and held_back:
            for job_id in held_back:
                submit(job_id)
            held_back = []
        elif not held_back and status.waiting + status.pending == 0:
            break
        if time.monotonic() > next_blow and kills < 8:
            next_blow = time.monotonic() + 0.5
            victim = dice.choice(team)
            if dice.random() < 0.3 and frozen < 2:
                victim.send_signal(signal.SIGSTOP)
                time.sleep(LEASE_S * 1.2)
                victim.send_signal(signal.SIGCONT)
                frozen += 1
            else:
                victim.kill()
                kills += 1
            if kills in (3, 6) and server_kills < kills // 3:
                time.sleep(2.1)  # everysec: what is older than two seconds is written, however slow the disk is
                lab.server.kill()
                lab.server.wait()
                lab.start_server()
                server_kills += 1
    # Then each has exactly one result or is a dead letter with its reason
    ended = [one for batch in follow(queue) for one in batch]
    by_id = {one.id: one for one in ended}
    dead = {letter.id: letter.reason for letter in queue.dead()}
    assert (kills, server_kills) == (8, 2)
    assert len(ended) == len(by_id) == 10_000 and set(by_id) == set(ids)
    assert set(dead) == {one.id for one in ended if one.result is None}
    # the long job's worker may have been among the killed three times: then that is what its reason says
    assert poison | raising <= set(dead) <= poison | raising | {"j4000"}
    assert all("no answer after 3 deliveries" in dead[job_id] for job_id in set(dead) - raising)
    assert all("ValueError: no eyes" in dead[job_id] for job_id in raising)
    assert all(from_json(Result, one.result).id == one.id for one in ended if one.result is not None)
    # And nothing is left over but the marks of what ended
    keys = queue.client.keys("*")
    assert {key.rpartition(b":")[2].decode() for key in keys if b":images:" in key} == set(dead)
    assert (queue.status().waiting, queue.status().pending) == (0, 0)


def follow(queue: Queue) -> Iterator[list]:
    cursor, batch = queue.results()
    while batch:
        yield batch
        cursor, batch = queue.results(cursor)


def test_a_frozen_worker_wakes_up_without_doing_harm(lab: Lab) -> None:
    queue = lab.queue()
    frozen = lab.ready_worker()
    put(queue, "a", "sleep 0.5")
    until(lambda: "begun-a" in lab.ran_ids())
    frozen.send_signal(signal.SIGSTOP)
    time.sleep(LEASE_S * 1.5)
    (taken,) = queue.get("other", 4)
    assert (taken.id, taken.deliveries) == ("a", 2)
    frozen.send_signal(signal.SIGCONT)
    until(lambda: "a" in lab.ran_ids())
    put(queue, "b")
    until(lambda: "b" in queue.find(["b"]))
    # the frozen worker's result came first and counts; the other one's is thrown away
    assert not queue.finish(taken.entry, "a", '"other"')
    assert [one.id for one in queue.results()[1]] == ["a", "b"]


def test_sigterm_lets_the_batch_in_hand_end(lab: Lab) -> None:
    queue = lab.queue()
    worker = lab.ready_worker()
    put(queue, "a", "sleep 0.5")
    until(lambda: "begun-a" in lab.ran_ids())
    worker.send_signal(signal.SIGTERM)
    put(queue, "b")
    assert worker.wait(10) == 0
    assert set(queue.find(["a", "b"])) == {"a"}
    status = queue.status()
    assert (status.waiting, status.pending, status.consumers) == (1, 0, ())


def test_an_idle_worker_stops_within_two_seconds(lab: Lab) -> None:
    queue, worker = lab.queue(), lab.ready_worker()
    until(lambda: len(queue.status().consumers) == 1)
    began = time.monotonic()
    worker.send_signal(signal.SIGINT)
    assert worker.wait(10) == 0 and time.monotonic() - began < 2.5


def test_a_second_signal_leaves_at_once_and_the_lease_returns_the_job(lab: Lab) -> None:
    queue, worker = lab.queue(), lab.ready_worker()
    put(queue, "a", "sleep 30")
    until(lambda: "begun-a" in lab.ran_ids())
    worker.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    assert worker.poll() is None
    began = time.monotonic()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(5) == 130 and time.monotonic() - began < 1
    until(lambda: [job.id for job in queue.get("next")] == ["a"], 3)


def test_a_worker_of_a_private_run_goes_with_its_parent(lab: Lab) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c",
         "import subprocess, sys, time\n"
         "child = subprocess.Popen([sys.executable, *sys.argv[1:]])\nprint(child.pid, flush=True)\ntime.sleep(60)",
         str(lab.folder / "worker.py"), lab.url, str(LEASE_S), str(lab.ran), "--with-parent"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert parent.stdout is not None
    lines = sorted(parent.stdout.readline().strip() for _ in range(2))  # the child's number and its "ready"
    assert lines[1] == "ready"
    queue = lab.queue()
    until(lambda: len(queue.status().consumers) == 1)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until(lambda: not alive(int(lines[0])), 5)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("arguments, code, says", [
    (["--redis", "http://x"], 2, "queue.url http://x: begin it with"),
    (["--set", "explain.bach=3"], 2, "did you mean 'explain.batch'"),
    (["--nonsense"], 2, "No such option"),
    (["--help"], 0, "until stopped (SIGTERM: "),
], ids=["address", "option", "argument", "help"])  # fmt: skip
@pytest.mark.parametrize("module", ["workers.expllm", "workers.screen"])
def test_the_command_line(module: str, arguments: list[str], code: int, says: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True,
                          env={**os.environ, "COLUMNS": "200"}, cwd=Path(__file__).parent.parent)
    assert done.returncode == code
    assert says in " ".join((done.stdout + done.stderr).split())
    assert "Traceback" not in done.stderr
