"""`ahead` keeps order, bounds what it holds, carries errors over and leaves no thread."""

import threading
import time
from collections.abc import Iterator

import pytest

from streamfer.threads import ahead


def names() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def test_order_is_kept() -> None:
    assert list(ahead(range(1000), 3, "t")) == list(range(1000))


def test_producer_stays_at_most_size_ahead() -> None:
    made = 0

    def produce() -> Iterator[int]:
        nonlocal made
        for i in range(100):
            made = i + 1
            yield i

    for i in ahead(produce(), 4, "t"):
        if i == 5:
            time.sleep(0.1)
            assert made <= 6 + 4 + 1  # consumed + queued + the one in the producer's hand


def test_error_comes_after_the_items_before_it() -> None:
    def produce() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    seen = []
    with pytest.raises(ValueError, match="broken"):
        for item in ahead(produce(), 2, "t"):
            seen.append(item)
    assert seen == [1]


def test_leaving_early_ends_the_thread() -> None:
    def forever() -> Iterator[int]:
        while True:
            yield 1

    for _ in ahead(forever(), 2, "left-early"):
        break
    deadline = time.monotonic() + 2
    while "left-early" in names() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert "left-early" not in names()
