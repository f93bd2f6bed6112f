"""A server that speaks just enough of the OpenAI API, and misbehaves as told: one script for each job.

A job is known by the second of its onset, which stands in its evidence table. A script is a list of steps, one for each
request about that job; the last is repeated.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

GOOD = {
    "observations": "The lip corners rose slightly (AU12, B, +1.5).",
    "interpretation": "AU12 is the action of a smile.",
    "conclusion": "This is best read as happiness.",
    "label": "happiness",
}


def completion(content: Any, tokens: int = 40) -> bytes:
    answer = {"choices": [{"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}],
              "usage": {"completion_tokens": tokens}}  # fmt: skip
    return json.dumps(answer).encode()


@dataclass(frozen=True)
class Step:
    """What to do with one request. `after_s`: think so long before; `drip_s`: time between two bytes of the body."""

    status: int = 200
    body: bytes = completion(json.dumps(GOOD))
    headers: dict[str, str] = field(default_factory=dict)
    after_s: float = 0.0
    drip_s: float = 0.0
    length: int | None = None  # Content-Length, when it lies
    close: bool = False  # hang up without a word


def says(content: Any) -> Step:
    return Step(body=completion(content))


@dataclass
class Request:
    at_s: float
    onset: int
    body: dict[str, Any]
    key: str | None


class Stub:
    def __init__(self) -> None:
        self.scripts: dict[int, list[Step]] = {}
        self.default: Callable[[dict[str, Any]], Step] = lambda body: Step()
        self.models = Step(body=json.dumps({"data": [{"id": "tiny-vlm"}]}).encode())
        self.requests: list[Request] = []
        self.in_flight = self.most_in_flight = 0
        self.lock = threading.Lock()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._do(stub.models)

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with stub.lock:
                    stub.in_flight += 1
                    stub.most_in_flight = max(stub.most_in_flight, stub.in_flight)
                try:
                    self._do(stub.step(body, self.headers.get("Authorization")))
                finally:
                    with stub.lock:
                        stub.in_flight -= 1

            def _do(self, step: Step) -> None:
                if stub.stopped.wait(step.after_s) or step.close:
                    self.close_connection = True
                    return
                with contextlib.suppress(OSError):  # the client has left
                    self.send_response(step.status)
                    for name, value in step.headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(step.length or len(step.body)))
                    self.end_headers()
                    for byte in step.body if step.drip_s else b"":
                        self.wfile.write(bytes([byte]))
                        if stub.stopped.wait(step.drip_s):
                            return
                    if not step.drip_s:
                        self.wfile.write(step.body)
                self.close_connection = step.length is not None or self.close_connection

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 64
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass  # clients that are killed

        self.stopped = threading.Event()
        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def step(self, body: dict[str, Any], authorization: str | None) -> Step:
        onset = int(re.search(r"onset (\d+)\.", json.dumps(body["messages"][-1]))[1])  # type: ignore[index]
        with self.lock:
            turn = sum(request.onset == onset for request in self.requests)
            self.requests.append(Request(time.monotonic(), onset, body, authorization))
        script = self.scripts.get(onset)
        return script[min(turn, len(script) - 1)] if script else self.default(body)

    def of(self, onset: int) -> list[Request]:
        return [request for request in self.requests if request.onset == onset]

    def stop(self) -> None:
        if not self.stopped.is_set():
            self.stopped.set()
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()


@contextlib.contextmanager
def stub_server() -> Iterator[Stub]:
    stub = Stub()
    try:
        yield stub
    finally:
        stub.stop()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
