"""The one place where the redis client is set up and where its errors become streamfer's.

Promise: a command survives a short absence of the server (restart, failover) by itself, a longer one becomes
`QueueUnreachable` with the address (never a password) and what to do. Workers go on trying after that, see worker.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    OutOfMemoryError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from streamfer.config import mask
from streamfer.errors import QueueError, QueueFull, QueueUnreachable, UsageError

#: A blocking read never blocks longer than this, so that the socket's timeout only ever means trouble.
MAX_BLOCK_S = 5.0
SOCKET_TIMEOUT_S = 15.0
CONNECT_TIMEOUT_S = 5.0
#: An idle connection is checked before use after so many seconds (firewalls drop silent ones).
HEALTH_CHECK_S = 30
#: Pauses of at most 0.05, 0.1, 0.2 ... 1 s between tries: a command is given up after about 3 s.
RETRIES = 7

SCHEMES = ("redis://", "rediss://", "unix://")


def connect(url: str, *, retries: int = RETRIES) -> redis.Redis:
    """A client for a Redis or Valkey server, which must answer. TLS options go into the address, for example
    `rediss://:password@host:6380/0?ssl_ca_certs=/etc/ca.pem`.

    Raises UsageError for an address that cannot be one, QueueUnreachable when nobody answers or the password is wrong.
    """
    if not url.startswith(SCHEMES):
        raise UsageError(f"queue.url {mask(url)}: begin it with {', '.join(SCHEMES)}")
    try:
        client = redis.Redis.from_url(
            url,
            protocol=2,  # one shape of replies whatever the server and the client's version
            socket_timeout=SOCKET_TIMEOUT_S,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            health_check_interval=HEALTH_CHECK_S,
            retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=1.0), retries),
            **({} if url.startswith("unix://") else {"socket_keepalive": True}),
        )
    except (ValueError, TypeError) as error:
        raise UsageError(f"queue.url {mask(url)} cannot be used: {_clean(error, url)}") from None
    with translated(mask(url)):
        client.ping()
    return client


def address(client: Any) -> str:
    """Where a client is connected to, without credentials."""
    pool = getattr(client, "connection_pool", None)
    if pool is None:
        return "the Redis cluster"
    facts = pool.connection_kwargs
    if "path" in facts:
        return f"unix://{facts['path']}"
    scheme = "rediss" if "ssl" in pool.connection_class.__name__.lower() else "redis"
    return f"{scheme}://{facts.get('host', 'localhost')}:{facts.get('port', 6379)}/{facts.get('db', 0)}"


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn the client's errors into streamfer's."""
    try:
        yield
    except (AuthenticationError, AuthorizationError) as error:
        raise QueueUnreachable(
            f"the queue at {where} refused the login ({_first_line(error)}): put the password into queue.url "
            "(redis://:password@host) or STREAMFER_QUEUE__URL"
        ) from None
    except (RedisConnectionError, RedisTimeoutError, OSError) as error:
        raise QueueUnreachable(
            f"the queue at {where} does not answer ({_first_line(error)}): start the server or correct queue.url"
        ) from None
    except OutOfMemoryError as error:
        raise QueueFull(f"the queue at {where} is out of memory ({_first_line(error)}): raise its maxmemory or add "
                        "workers") from None
    except ResponseError as error:
        text = _first_line(error)
        if "OOM" in text:  # raised inside a script
            raise QueueFull(f"the queue at {where} is out of memory: raise its maxmemory or add workers") from None
        if text.startswith(("NOAUTH", "NOPERM", "WRONGPASS")):
            raise QueueUnreachable(f"the queue at {where} refused the login ({text}): correct queue.url") from None
        if text.startswith(("READONLY", "MASTERDOWN", "CLUSTERDOWN", "MISCONF", "LOADING")):
            raise QueueUnreachable(f"the queue at {where} takes no writes now ({text})") from None
        raise QueueError(f"the queue at {where} answered with an error: {text}") from None
    except RedisError as error:
        raise QueueError(f"the queue at {where}: {_first_line(error)}") from None


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(". ") if lines else type(error).__name__


def _clean(error: BaseException, url: str) -> str:
    # messages of urllib quote parts of the address
    secret = url.partition("://")[2].rpartition("@")[0].partition(":")[2]
    text = _first_line(error)
    return text.replace(secret, "***") if secret else text
