"""JSON over HTTP with patience that ends: one request, its retries, and plain words for what went wrong.

`Client.request` tries again after 429, 500-504, a closed connection, an answer that is no JSON and no answer in time:
`retries` times, waiting longer each time (0.5 s doubled, up to 30 s, with jitter so that many workers do not come back
at once), or for as long as the server's Retry-After says. What is left then is an `Away` (the server was never reached)
or a `Trouble` (it was, and gave nothing of use); any other status is the caller's to judge.

The standard library's http.client in threads, since what is wanted is little (post, two timeouts, a size limit) and the
backend then needs no extra. Each request has a connection of its own: against seconds of generation that costs nothing,
and a connection that idled too long cannot fail. Proxies of the environment are not used, redirects not followed.

The key is sent as a bearer token and appears in no message: what a server says is cleaned of it.
"""

from __future__ import annotations

import http.client
import json
import random
import socket
import ssl
import threading
import time
import urllib.parse
from email.utils import parsedate_to_datetime
from typing import Any

from streamfer.errors import UsageError

RETRY = frozenset((429, *range(500, 505)))
BACKOFF_S, BACKOFF_MAX_S = 0.5, 30.0
RETRY_AFTER_MAX_S = 120.0
"""A server that asks for more patience than this gets none: the job's reason says so."""
BODY_MAX = 4_000_000
"""Bytes of an answer; a chain of thought has about 1,000."""


class Trouble(Exception):
    """The server gave nothing of use, however often it was asked. The message says what and how often.

    `status` is that of its last answer, None when there was no whole one.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Away(Trouble):
    """The server could not be reached at all."""


class _Again(Exception):
    """One try failed in a way that another may not. `after_s`: what the server asked to wait."""

    def __init__(self, reason: str, after_s: float = 0.0, away: bool = False, status: int | None = None) -> None:
        super().__init__(reason)
        self.after_s, self.away, self.status = after_s, away, status


class Client:
    """Requests below one address. Thread-safe: no request shares anything with another."""

    def __init__(self, url: str, key: str | None, *, connect_s: float, read_s: float, retries: int) -> None:
        """`url` is http:// or https://, with a path in front of the API's if it has one. Raises UsageError."""
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError("explain.url must begin with http:// or https:// and name a host: http://127.0.0.1:8000/v1")
        if parts.username is not None or parts.password is not None or parts.query:
            raise UsageError("explain.url must not hold a user, a password or a query: put the key into an environment "
                             "variable and its name into explain.api_key_env")  # fmt: skip
        try:
            self._port = parts.port
        except ValueError:
            raise UsageError("explain.url has a port that is no number from 0 to 65535") from None
        self._secure, self._host, self._base = parts.scheme == "https", parts.hostname, parts.path.rstrip("/")
        self._context = ssl.create_default_context() if self._secure else None
        self._key, self._connect_s, self._read_s, self._retries = key, connect_s, read_s, retries
        self.where = f"{parts.scheme}://{parts.netloc}{self._base}"

    def request(self, method: str, path: str, body: Any = None, *, retries: int | None = None) -> tuple[int, Any]:
        """Status and parsed JSON (a short text when an error carries none). Raises Away or Trouble."""
        data = None if body is None else json.dumps(body).encode()
        tries = (self._retries if retries is None else retries) + 1
        for number in range(1, tries + 1):
            try:
                return self._once(method, self._base + path, data)
            except _Again as again:
                if number == tries or again.after_s > RETRY_AFTER_MAX_S:
                    times = f", {number} times" if number > 1 else ""
                    message = f"the server at {self.where} {again}{times}"
                    raise (Away if again.away else Trouble)(message, again.status) from None
                backoff_s = min(BACKOFF_S * 2 ** (number - 1), BACKOFF_MAX_S) * random.uniform(0.5, 1.0)
                time.sleep(max(backoff_s, again.after_s))
        raise AssertionError("tries is at least one")

    def _once(self, method: str, path: str, data: bytes | None) -> tuple[int, Any]:
        if self._context is not None:
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                self._host, self._port, timeout=self._connect_s, context=self._context
            )
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=self._connect_s)
        try:
            try:
                connection.connect()
            except OSError as error:  # refused, no such host, a certificate that is not trusted, too slow
                raise _Again(f"cannot be reached ({_plain(error)})", away=True) from None
            status, headers, raw = self._exchange(connection, method, path, data)
        finally:
            connection.close()
        if status in RETRY:
            wait_s = _retry_after(headers.get("Retry-After"))
            asked = f" and wants {wait_s:.0f} s of patience" if wait_s > RETRY_AFTER_MAX_S else ""
            raise _Again(f"answered {status} ({self.clean(raw)}){asked}", wait_s, status=status)
        try:
            return status, json.loads(raw)
        except (ValueError, RecursionError):
            if status == 200:
                raise _Again(f"gave an answer that is no JSON ({self.clean(raw)})", status=status) from None
            return status, self.clean(raw)

    def _exchange(
        self, connection: http.client.HTTPConnection, method: str, path: str, data: bytes | None
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """One request on an open connection, `read_s` for all of it: a server that drips bytes gets no more either."""
        sock: socket.socket = connection.sock
        sock.settimeout(self._read_s)
        late = threading.Event()

        def cut() -> None:
            late.set()
            try:
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # not SSLSocket's, which takes the reader's state away
            except OSError:
                pass  # it was closed in the meantime

        timer = threading.Timer(self._read_s, cut)
        timer.daemon = True
        timer.start()
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Connection": "close"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        try:
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            raw = response.read(BODY_MAX + 1)
        except (OSError, http.client.HTTPException) as error:
            if late.is_set() or isinstance(error, TimeoutError):
                raise _Again(f"gave no answer within {self._read_s:g} s") from None
            raise _Again(f"closed the connection ({_plain(error)})") from None
        finally:
            timer.cancel()
        if late.is_set():
            raise _Again(f"gave no answer within {self._read_s:g} s")
        if len(raw) > BODY_MAX:
            raise _Again(f"gave an answer of more than {BODY_MAX} bytes")
        return response.status, response.headers, raw

    def clean(self, said: bytes | str) -> str:
        """What a server said, on one short line, without the key, should it have echoed it."""
        text = said[:4000].decode(errors="replace") if isinstance(said, bytes) else said
        if self._key:
            text = text.replace(self._key, "***")
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return text if len(text) <= 200 else text[:197] + "..."


def _retry_after(value: str | None) -> float:
    """Seconds, or a date (RFC 9110, 10.2.3); 0 for anything else."""
    if not value:
        return 0.0
    try:
        seconds = float(value)
        return min(seconds, 1e6) if seconds > 0 else 0.0  # also for nan
    except ValueError:
        pass
    try:
        return max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _plain(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
