"""Folders of frames: order by number, time by place, whatever can be read."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time

import cv2
import numpy as np
import pytest

from streamfer.config import Video
from streamfer.errors import NoVideo, SourceDamaged, SourceUnreadable, UsageError
from streamfer.video import frames as frames_module
from streamfer.video import open_video
from tests import clips


def read(folder, fps: float = 200.0, **options):
    with open_video(folder, Video(fps=fps, **options)) as source:
        return list(source), source


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "tiff", "webp"])
def test_every_format(tmp_path, ending) -> None:
    clips.frame_folder(tmp_path / "f", range(12), "img{}." + ending)
    frames, source = read(tmp_path / "f")
    assert [clips.number_of(frame.image) for frame in frames] == list(range(12))
    assert [frame.time_s for frame in frames] == pytest.approx([i / 200 for i in range(12)])
    assert all(clips.is_upright(frame.image) and frame.image.dtype == np.uint8 for frame in frames)
    assert (source.info.kind, source.info.reader, source.info.fps, source.info.name) == ("frames", "frames", 200, "f")
    assert (source.info.width_px, source.info.height_px) == (clips.WIDTH, clips.HEIGHT)
    assert source.info.frames_claimed == 12 and source.info.duration_s == pytest.approx(0.06)


@pytest.mark.parametrize("ending", ["png", "tiff"])
def test_16_bit(tmp_path, ending) -> None:
    clips.frame_folder(tmp_path, [3], "img{}." + ending, bits=16)
    (frame,), _ = read(tmp_path)
    assert abs(frame.image.astype(int) - clips.picture(3)).max() <= 1


def test_grey_and_alpha(tmp_path) -> None:
    picture = clips.picture(9)
    cv2.imwrite(str(tmp_path / "1.png"), cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))
    cv2.imwrite(str(tmp_path / "2.png"), cv2.cvtColor(picture, cv2.COLOR_RGB2BGRA))
    frames, _ = read(tmp_path)
    assert [clips.number_of(frame.image) for frame in frames] == [9, 9]
    assert [frame.image.shape for frame in frames] == [picture.shape] * 2


@pytest.mark.parametrize(
    ("numbers", "name", "places", "missing"),
    [
        pytest.param([8, 9, 10, 11], "img{}.png", [0, 1, 2, 3], 0, id="9-before-10"),
        pytest.param([1, 2, 3, 100, 101], "{:05d}.png", [0, 1, 2, 99, 100], 96, id="lost-numbers-are-time"),
        pytest.param([0, 10, 20, 30], "t{}.png", [0, 1, 2, 3], 0, id="numbered-in-tens"),
        pytest.param([3, 4, 5], "reg_img{}.jpg", [0, 1, 2], 0, id="casme"),
        pytest.param([5], "only{}.png", [0], 0, id="one"),
    ],
)
def test_place_and_time(tmp_path, numbers, name, places, missing) -> None:
    clips.frame_folder(tmp_path, numbers, name)
    frames, source = read(tmp_path, fps=100)
    assert [clips.number_of(frame.image) for frame in frames] == numbers
    assert [frame.index for frame in frames] == places
    assert [frame.time_s for frame in frames] == pytest.approx([place / 100 for place in places])
    assert source.counts.missing == missing


def test_pictures_that_cannot_be_used_are_skipped_and_counted(tmp_path, capfd, caplog) -> None:
    files = clips.frame_folder(tmp_path, range(10), "{}.png")
    files[3].write_bytes(files[3].read_bytes()[:500])
    files[5].write_bytes(b"")
    cv2.imwrite(str(files[7]), np.zeros((10, 10, 3), np.uint8))
    with caplog.at_level(logging.WARNING):
        frames, source = read(tmp_path, fps=10)
    assert [clips.number_of(frame.image) for frame in frames] == [0, 1, 2, 4, 6, 8, 9]
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9])
    assert source.counts.damaged == 3 and source.counts.decoded == 7
    assert "3.png" in caplog.text
    assert capfd.readouterr().err == "", "OpenCV's own messages stay inside"


def test_mostly_broken(tmp_path) -> None:
    files = clips.frame_folder(tmp_path, range(10), "{}.png")
    for file in files[2:8]:
        file.write_bytes(b"no picture")
    with pytest.raises(SourceDamaged, match="6 of 10"):
        read(tmp_path)


def test_none_can_be_read(tmp_path) -> None:
    for file in clips.frame_folder(tmp_path, range(3)):
        file.write_bytes(b"no picture")
    with pytest.raises(SourceUnreadable, match="none of"):
        read(tmp_path)


def test_the_frame_rate_is_needed(tmp_path) -> None:
    clips.frame_folder(tmp_path, range(3))
    with pytest.raises(UsageError, match="--fps"):
        open_video(tmp_path)


def test_no_pictures(tmp_path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(NoVideo, match="no pictures"):
        open_video(tmp_path, Video(fps=25))


def test_start_and_end(tmp_path) -> None:
    clips.frame_folder(tmp_path, range(50))
    frames, _ = read(tmp_path, fps=100, start_s=0.2, end_s=0.3)
    assert [frame.index for frame in frames] == list(range(20, 31))
    assert [clips.number_of(frame.image) for frame in frames] == list(range(20, 31))


def test_digest(tmp_path) -> None:
    def digest(fps: float = 30) -> str:
        with open_video(tmp_path, Video(fps=fps)) as source:
            return source.info.digest

    files = clips.frame_folder(tmp_path, range(5))
    first = digest()
    assert len(first) == 16 and digest() == first
    assert digest(fps=60) != first, "the rate places every event"
    files[4].unlink()
    assert digest() != first


def test_few_pictures_are_held(tmp_path, monkeypatch) -> None:
    """However slow the consumer, a bounded number of pictures waits."""
    clips.frame_folder(tmp_path, range(60), "{}.bmp")
    made: list[str] = []
    whole = frames_module.read_picture
    monkeypatch.setattr(frames_module, "read_picture", lambda file: (made.append(file.name), whole(file))[1])
    with open_video(tmp_path, Video(fps=100, threads=2)) as source:
        made.clear()
        for frame in source:
            if frame.index in (0, 20):
                time.sleep(0.05)
                assert frame.index < len(made) <= frame.index + 16
    assert len(made) == 60


def test_closing_ends_the_threads(tmp_path) -> None:
    clips.frame_folder(tmp_path, range(50))
    source = open_video(tmp_path, Video(fps=100))
    frames = iter(source)
    next(frames)
    source.close()
    assert list(frames) == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("imread")]


def test_a_source_is_read_once(tmp_path) -> None:
    clips.frame_folder(tmp_path, range(3))
    with open_video(tmp_path, Video(fps=100)) as source:
        list(source)
        with pytest.raises(RuntimeError, match="once"):
            list(source)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_no_permission(tmp_path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0)
    with pytest.raises(SourceUnreadable, match="permissions"):
        open_video(folder, Video(fps=25))


def test_memory_does_not_grow_with_the_number_of_pictures(tmp_path) -> None:
    """10,000 pictures that would be 760 MB if they were kept: no more memory than for 500."""
    (file,) = clips.frame_folder(tmp_path, [1], "{}.bmp")
    peaks = []
    for count in (500, 10_000):
        folder = tmp_path / str(count)
        folder.mkdir()
        for number in range(count):
            os.link(file, folder / f"img{number}.bmp")
        done = subprocess.run([sys.executable, "-c", PEAK, str(folder)], capture_output=True, text=True, check=True)
        frames, peak_mb = map(int, done.stdout.split())
        assert frames == count
        peaks.append(peak_mb)
    assert peaks[1] - peaks[0] < 40, peaks


PEAK = """
import resource, sys
from streamfer.config import Video
from streamfer.video import open_video
with open_video(sys.argv[1], Video(fps=200)) as source:
    frames = sum(1 for _ in source)
print(frames, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
