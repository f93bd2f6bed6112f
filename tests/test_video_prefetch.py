"""`Prefetched` is the source inside, a few frames ahead, in a thread that always ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from streamfer.config import Video
from streamfer.errors import SourceDamaged
from streamfer.records import Frame, SourceCounts, SourceInfo
from streamfer.video import Prefetched, open_video
from tests import clips


class Counting:
    """A source without end that knows how far it was read."""

    def __init__(self, frames: int = 10**9, error: Exception | None = None) -> None:
        self.info = SourceInfo("test", "test", "file", 2, 2, 30, None, None, 0, "none", "0" * 16, "av")
        self.counts = SourceCounts()
        self.made = 0
        self.closed = False
        self._frames, self._error = frames, error

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        self.closed = True

    def __iter__(self) -> Iterator[Frame]:
        image = np.zeros((2, 2, 3), np.uint8)
        while self.made < self._frames and not self.closed:
            self.made += 1
            yield Frame(self.made - 1, (self.made - 1) / 30, image)
        if self._error is not None:
            raise self._error


def decode_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("decode ")]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert decode_threads() == []


def test_the_same_frames(tmp_path) -> None:
    clip = clips.vfr(tmp_path / "c.mp4")
    with Prefetched(open_video(clip.path), 4) as source:
        frames = list(source)
        assert source.info.name == "c" and source.counts.decoded == 60
    assert [clips.number_of(frame.image) for frame in frames] == list(clip.numbers)
    assert [frame.time_s for frame in frames] == pytest.approx(clip.times_s)


def test_the_source_is_read_in_its_own_thread() -> None:
    with Prefetched(Counting(), 2) as source:
        next(iter(source))
        assert len(decode_threads()) == 1


@pytest.mark.parametrize("size", [1, 8])
def test_a_slow_consumer_slows_the_reader(size) -> None:
    inside = Counting()
    with Prefetched(inside, size) as source:
        for frame in source:
            if frame.index == 5:
                time.sleep(0.1)
                assert 6 < inside.made <= 6 + size + 1
                break


def test_an_error_comes_after_the_frames_before_it() -> None:
    seen = []
    with Prefetched(Counting(20, SourceDamaged("broken at 0.67 s")), 4) as source, pytest.raises(SourceDamaged):
        for frame in source:
            seen.append(frame.index)
    assert seen == list(range(20))


def test_a_cut_file(tmp_path) -> None:
    clip = clips.cut_off(tmp_path / "c.mp4")
    frames = []
    with Prefetched(open_video(clip.path), 3) as source, pytest.raises(SourceDamaged, match="cut off"):
        frames.extend(source)
    assert source.counts.decoded >= 40


def test_leaving_early_closes_everything() -> None:
    inside = Counting()
    with Prefetched(inside, 4) as source:
        for frame in source:
            if frame.index == 3:
                break
    assert inside.closed


def test_closing_without_reading() -> None:
    inside = Counting()
    Prefetched(inside, 4).close()
    assert inside.closed


def test_an_error_of_the_consumer_closes_everything(tmp_path) -> None:
    clip = clips.cfr(tmp_path / "c.mp4")
    with pytest.raises(ZeroDivisionError), Prefetched(open_video(clip.path), 2) as source:
        for frame in source:
            1 / (frame.index - 3)


def test_closing_while_the_reader_is_still_on_its_way(tmp_path) -> None:
    """It decodes towards start_s and has delivered nothing yet."""
    clip = clips.cfr(tmp_path / "c.mp4", frames=600)
    source = Prefetched(open_video(clip.path, Video(start_s=19.9)), 2)
    waiting = threading.Thread(target=lambda: list(source))
    waiting.start()
    inside = source._source
    while not inside.counts.max_step_s:
        time.sleep(0.001)
    inside.close()
    waiting.join(5)
    assert not waiting.is_alive()
    assert inside.counts.decoded == 0
    source.close()
