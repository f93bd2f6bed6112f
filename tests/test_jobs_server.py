"""The queue on real servers: their failures, their limits, and what other clients may do to the keys."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from streamfer.config import Queue as QueueOptions
from streamfer.errors import QueueError, QueueUnreachable, StreamferError, UsageError
from streamfer.jobs.connection import connect
from streamfer.jobs.embedded import server_program
from streamfer.jobs.queue import Keys, Queue, open_queue
from streamfer.records import Event, Job, KeyFrame, Moment, to_json

PROGRAMS = {"valkey": str(server_program()), "redis": shutil.which("redis-server")}
PICTURE = {"apex": b"\xff" * 3000}


class Server:
    """A server process that can be killed and started again in the same folder."""

    def __init__(self, program: str, folder: Path, *options: str) -> None:
        self.command = [program, "--port", "0", "--unixsocket", "s", "--save", "", "--dir", ".", *options]
        self.folder, self.url = folder, f"unix://{folder}/s"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, ping: bool = True) -> None:
        (self.folder / "s").unlink(missing_ok=True)
        self.process = subprocess.Popen(self.command, cwd=self.folder, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while ping and not self.answers():
            assert self.process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.01)

    def answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as plain:
            plain.settimeout(1)
            try:
                plain.connect(f"{self.folder}/s")
                plain.sendall(b"PING\r\n")
                return plain.recv(99).startswith((b"+PONG", b"-NOAUTH"))
            except OSError:
                return False

    def written(self, client: redis.Redis) -> None:
        """Wait until all that it has answered is in its file: `everysec` holds writes back while a slow disk syncs."""
        deadline = time.monotonic() + 20
        while (now := client.info("persistence"))["aof_buffer_length"] or now["aof_pending_bio_fsync"]:
            assert time.monotonic() < deadline, "the disk does not sync"
            time.sleep(0.02)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


Start = Callable[..., Server]


@pytest.fixture
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    running: list[Server] = []

    def start_one(*options: str, program: str = "valkey", ping: bool = True) -> Server:
        path = PROGRAMS[program]
        if path is None:
            if os.environ.get("CI"):
                pytest.fail(f"{program} must be there in CI")
            pytest.skip(f"{program} is not installed")
        running.append(Server(path, tmp_path_factory.mktemp("q"), *options))
        running[-1].start(ping)
        return running[-1]

    yield start_one
    for server in running:
        server.kill()


def payload(job_id: str) -> str:
    moment = Moment(3, 0.1)
    event = Event(job_id, "clip", "P1", 1, "micro", moment, moment, moment, 0.1, 0.2, (), (), 0.5)
    return to_json(Job(job_id, event, (KeyFrame("apex", 3, 0.1),), 0.0))


def put(queue: Queue, *ids: str) -> None:
    for job_id in ids:
        assert queue.put(job_id, payload(job_id), PICTURE) == "queued"


def whole_way(queue: Queue) -> None:
    """Every script once."""
    put(queue, *"abcdef")
    a, b, c, d = queue.get("w", 4)
    assert queue.renew("w", [a.entry, b.entry]) == [a.entry, b.entry]
    assert queue.finish(a.entry, "a", "{}")
    assert queue.fail(b.entry, "b", "bad", retry=False) == "dead"
    assert queue.fail(c.entry, "c", "busy", retry=True, after_s=0) == "retry"
    assert queue.release([d.entry]) == 1
    assert {job.id for _ in range(3) for job in queue.get("w", 2)} == {"c", "d", "e", "f"}
    assert queue.retry_dead() == (["b"], [])
    assert set(queue.wait(["a"], 1)) == {"a"}
    assert (queue.status().waiting, queue.status().pending, queue.janitor(0.0)) == (1, 4, [])
    assert not queue.leave("w")


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_script_runs_on(start: Start, program: str) -> None:
    whole_way(Queue(connect(start(program=program).url)))


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_script_keeps_to_one_slot_of_a_cluster(start: Start, program: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = start("--cluster-enabled", "yes", "--port", str(port), "--bind", "127.0.0.1",
                   "--cluster-port", str(port - 10000 if port > 50000 else port + 10000), program=program)  # fmt: skip
    client = redis.Redis(unix_socket_path=server.url.removeprefix("unix://"))
    client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    deadline = time.monotonic() + 10
    while b"cluster_state:ok" not in client.execute_command("CLUSTER", "INFO") and time.monotonic() < deadline:
        time.sleep(0.02)
    client.close()
    whole_way(Queue(connect(server.url), "cluster"))


def test_keys_of_one_queue_share_their_hash_tag() -> None:
    keys = Keys("sf", "video")
    for key in (*keys.streams, keys.results, keys.dead, keys.reasons, *keys.of("x")):
        assert key.startswith("{sf}:video:")


def test_a_stale_job_behind_many_live_ones_is_found(start: Start) -> None:
    # XAUTOCLAIM looks at ten leases in one call: without the carried cursor the eleventh is hidden for ever
    client = connect(start().url)
    queue = Queue(client, lease_s=2.0)  # long enough for a slow machine to renew 698 leases in time
    ids = [f"j{i}" for i in range(700)]
    put(queue, *ids)
    held = queue.get("busy", 650) + queue.get("dead", 1)
    queue.get("busy", 49)
    stale = held.pop()
    for _ in range(5):
        time.sleep(0.45)
        queue.renew("busy", [job.entry for job in held])
    found = [job.id for _ in range(20) for job in Queue.get(queue, "w", 1)]
    assert found[0] == stale.id


@pytest.mark.parametrize("fields, reason", [
    ({"job": "{}"}, "no field 'id' or 'job'"),
    ({"id": "x"}, "no field 'id' or 'job'"),
    ({"nonsense": b"\xff\xfe"}, "no field 'id' or 'job'"),
    ({"id": "x", "job": payload("x"), "images": "1"}, "pictures were forgotten"),
    ({"id": "x", "job": payload("x"), "images": "many"}, "pictures were forgotten"),
], ids=["no id", "no job", "bytes", "pictures gone", "odd number"])  # fmt: skip
def test_foreign_entries_become_dead_letters_and_the_next_job_comes(start: Start, fields: dict, reason: str) -> None:
    client = connect(start().url)
    queue = Queue(client)
    client.xadd(queue.keys.stream("batch"), fields)
    put(queue, "good")
    assert [job.id for job in queue.get("w", 1)] == ["good"]
    (letter,) = queue.dead()
    assert reason in letter.reason
    assert queue.status().pending == 1


@given(junk=st.dictionaries(st.sampled_from(["id", "job", "images", "x"]), st.binary(max_size=20), min_size=1))
def test_no_entry_of_a_stranger_stops_the_queue(embedded: Queue, junk: dict[str, bytes]) -> None:
    embedded.client.flushall()
    embedded.client.xadd(embedded.keys.stream("live"), junk)
    for job in embedded.get("w", 5):
        embedded.fail(job.entry, job.id, "not a job", retry=False)
    assert len(embedded.dead()) == 1
    assert embedded.status().waiting + embedded.status().pending == 0


@pytest.fixture(scope="module")
def embedded() -> Iterator[Queue]:
    from streamfer.jobs.embedded import EmbeddedServer

    with EmbeddedServer() as server:
        yield Queue(connect(server.url))


def test_a_server_that_lost_everything_is_used_again(start: Start) -> None:
    queue = Queue(connect(start().url), lease_s=0.1)
    put(queue, "a")
    (job,) = queue.get("w")
    queue.client.flushall()
    queue.client.script_flush()
    assert queue.renew("w", [job.entry]) == []
    assert not queue.finish(job.entry, "a", "{}")
    assert queue.fail(job.entry, "a", "x", retry=False) == "gone"
    assert queue.release([job.entry]) == 0
    assert queue.status().waiting == 0 and queue.dead() == [] and queue.janitor() == []
    put(queue, "a")
    assert len(queue.get("w")) == 1


def test_a_full_server_refuses_new_jobs_and_lets_old_ones_end(start: Start) -> None:
    # maxmemory with noeviction: Redis refuses every write that takes memory
    queue = Queue(connect(start("--maxmemory", "6mb", "--maxmemory-policy", "noeviction").url), limit=10**6)
    count = 0
    while queue.put(f"j{count}", payload(f"j{count}"), {"apex": b"\xff" * 50_000}) == "queued":
        count += 1
        assert count < 1000
    assert count > 20
    jobs = queue.get("w", 3)
    assert [job.id for job in jobs] == ["j0", "j1", "j2"]
    assert queue.renew("w", [jobs[0].entry])
    assert queue.finish(jobs[0].entry, "j0", '{"whole": 1}')
    assert queue.fail(jobs[1].entry, "j1", "bad", retry=False) == "dead"
    assert queue.fail(jobs[2].entry, "j2", "busy", retry=True) == "retry"
    assert queue.find(["j0"])["j0"].result == '{"whole": 1}' and queue.dead()[0].reason == "bad"
    for job in queue.get("w", 10):
        queue.finish(job.entry, job.id, "{}")
    assert queue.put("later", payload("later"), PICTURE) == "queued"


@pytest.mark.parametrize("program", PROGRAMS)
def test_jobs_and_leases_survive_a_killed_server(start: Start, program: str) -> None:
    server = start("--appendonly", "yes", "--appendfsync", "everysec", program=program)
    queue = Queue(connect(server.url), lease_s=0.5)
    put(queue, *"abcd")
    a, b, c = queue.get("w", 3)
    queue.finish(a.entry, "a", '"A"')
    queue.fail(c.entry, "c", "busy", retry=True, after_s=0)
    server.written(queue.client)
    server.kill()
    with pytest.raises(QueueUnreachable, match=r"unix://.*does not answer.*start the server or correct queue.url"):
        Queue(connect(server.url, retries=0))
    server.start()
    assert queue.renew("w", [b.entry]) == [b.entry]  # the same client goes on
    assert (queue.status().waiting, queue.status().pending) == (2, 1)
    assert queue.find(["a"])["a"].result == '"A"'
    assert {job.id for _ in range(2) for job in queue.get("other", 4)} == {"c", "d"}
    time.sleep(0.55)
    assert {job.id for _ in range(3) for job in queue.get("last", 4)} == {"b", "c", "d"}
    assert queue.put("a", payload("a"), PICTURE) == "duplicate"


def test_a_command_outlives_a_short_restart(start: Start) -> None:
    server = start("--appendonly", "yes")
    queue = Queue(connect(server.url))
    put(queue, "a")
    server.written(queue.client)
    server.kill()
    server.start(ping=False)  # the call comes while nobody answers yet
    assert [job.id for job in queue.get("w")] == ["a"]


def test_the_password_is_asked_for_and_never_shown(start: Start) -> None:
    server = start("--requirepass", "s3cret/@:x")
    for given_password, says in (("", "refused the login"), ("wr0ng", "refused the login")):
        url = server.url.replace("unix://", f"unix://:{given_password}@") if given_password else server.url
        with pytest.raises(QueueUnreachable, match=says) as caught:
            connect(url, retries=0)
        assert "wr0ng" not in str(caught.value) and "password" in str(caught.value)
        assert caught.value.exit_code == 6
    good = server.url.replace("unix://", "unix://:s3cret%2F%40%3Ax@")
    queue = Queue(connect(good, retries=1))
    put(queue, "a")
    server.process.send_signal(signal.SIGSTOP)  # type: ignore[union-attr]
    server.kill()
    with pytest.raises(QueueUnreachable) as caught:
        queue.status()
    assert "s3cret" not in str(caught.value) + repr(queue.where)


BAD_URLS = {
    "http://localhost": "begin it with redis://",
    "localhost:6379": "begin it with redis://",
    "redis://:hunter2@localhost:port/0": "cannot be used",
    "redis://:hunter2@127.0.0.1:1/0": "does not answer",
    "rediss://:hunter2@127.0.0.1:1/0": "does not answer",
    "unix:///nowhere/at/all?password=hunter2": "does not answer",
    "redis://:hunter2@no-such-host.invalid/0": "does not answer",
}


@pytest.mark.parametrize("url", BAD_URLS)
def test_an_address_that_does_not_work_says_what_to_do_without_the_password(url: str) -> None:
    with pytest.raises((QueueUnreachable, UsageError)) as caught:
        connect(url, retries=0)
    assert BAD_URLS[url] in str(caught.value) and "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None  # the client's error may quote the address


@pytest.mark.skipif(None in (shutil.which("openssl"), PROGRAMS["redis"]), reason="needs openssl and redis-server")
def test_tls_with_a_certificate_of_ones_own(start: Start, tmp_path: Path) -> None:
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
                   cwd=tmp_path, check=True, capture_output=True)  # fmt: skip
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start("--tls-port", str(port), "--bind", "127.0.0.1", "--tls-cert-file", str(tmp_path / "cert.pem"),
          "--tls-key-file", str(tmp_path / "key.pem"), "--tls-ca-cert-file", str(tmp_path / "cert.pem"),
          "--tls-auth-clients", "no", "--requirepass", "pw", program="redis")  # fmt: skip

    def ping(url: str) -> None:
        connect(url, retries=0)

    with pytest.raises(StreamferError, match="certificate verify failed"):
        ping(f"rediss://:pw@localhost:{port}/0")
    queue = Queue(connect(f"rediss://:pw@localhost:{port}/0?ssl_ca_certs={tmp_path}/cert.pem"))
    assert queue.where == f"rediss://localhost:{port}/0"
    put(queue, "a")
    assert [job.id for job in queue.get("w")] == ["a"]


def test_an_unknown_error_of_the_server_is_one_of_ours(start: Start) -> None:
    queue = Queue(connect(start().url))
    queue.client.set(queue.keys.stream("batch"), "somebody else's")
    with pytest.raises(QueueError, match="WRONGTYPE"):
        queue.put("a", payload("a"), PICTURE)


def test_open_queue_takes_its_options_from_the_config(start: Start) -> None:
    options = QueueOptions(url=start().url, name="lab-7", lease_s=3, max_deliveries=5, limit=9, ttl_s=60)
    queue = open_queue(options, "video")
    assert (queue.keys.prefix, queue.lease_s, queue.max_deliveries) == ("{lab-7}:video", 3, 5)
    assert (queue.limit, queue.ttl_s, queue.topic) == (9, 60, "video")
