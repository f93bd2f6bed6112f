"""The optional reader agrees with the default one, or refuses."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from streamfer.config import Video
from streamfer.errors import ExtraMissing, SourceError, UsageError
from streamfer.video import open_video
from tests import clips

DECORD = Video(reader="decord", threads=1)


@pytest.fixture
def decord():
    return pytest.importorskip("decord")


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda d: clips.cfr(d / "c.mp4", frames=150), id="cfr-mp4"),
        pytest.param(lambda d: clips.vfr(d / "c.mp4"), id="vfr-mp4"),
        pytest.param(lambda d: clips.vfr(d / "c.mkv"), id="vfr-mkv"),
    ],
)
def test_same_frames_as_the_default_reader(decord, tmp_path, make) -> None:
    clip = make(tmp_path)
    with open_video(clip.path, DECORD) as source:
        frames = list(source)
    assert source.info.reader == "decord" and source.counts.decoded == len(clip.numbers)
    assert [clips.number_of(frame.image) for frame in frames] == list(clip.numbers)
    assert [frame.time_s for frame in frames] == pytest.approx(clip.times_s, abs=1e-3)
    with open_video(clip.path) as default:
        for ours, theirs in zip(default, frames, strict=True):
            assert ours.index == theirs.index
            assert abs(ours.image.astype(int) - theirs.image).mean() < 2


def test_start_and_end(decord, tmp_path) -> None:
    clip = clips.vfr(tmp_path / "c.mp4", frames=150)
    with open_video(clip.path, DECORD.model_copy(update={"start_s": 4.0, "end_s": 5.0})) as source:
        frames = list(source)
    expected = [i for i, time_s in enumerate(clip.times_s) if 4 <= time_s <= 5]
    assert [frame.index for frame in frames] == expected
    assert [clips.number_of(frame.image) for frame in frames] == expected


@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(lambda d: clips.cfr(d / "c.ts", frames=10), "wrong order", id="transport-stream"),
        pytest.param(lambda d: clips.cfr(d / "c.mkv", frames=10, start_s=1.0), "hangs", id="late-start"),
        pytest.param(lambda d: clips.rotated(d / "c.mp4", 90), "turned", id="rotated"),
        pytest.param(lambda d: clips.cfr(d / "c.avi", frames=10, ticks=30), "--reader av", id="avi"),
    ],
)
def test_what_decord_gets_wrong_is_refused(decord, tmp_path, make, words) -> None:
    with pytest.raises(UsageError, match=words):
        open_video(make(tmp_path).path, DECORD)


def test_a_reader_that_expects_too_many_frames_is_refused(decord, tmp_path, monkeypatch) -> None:
    clip = clips.cfr(tmp_path / "c.mp4", frames=10)
    monkeypatch.setattr(decord.VideoReader, "__len__", lambda _: 12)
    with pytest.raises(UsageError, match="expects 12 frames of 10"):
        open_video(clip.path, DECORD)


@pytest.mark.parametrize("make", [clips.empty, clips.random_bytes, clips.audio_only, lambda p: p / "none.mp4"])
def test_no_video(decord, tmp_path, make) -> None:
    path: Path = make(tmp_path / "c.mp4")
    with pytest.raises(SourceError):
        open_video(path, DECORD)


def test_not_installed(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "decord", None)
    clip = clips.cfr(tmp_path / "c.mp4", frames=2)
    with pytest.raises(ExtraMissing, match=r"streamfer\[decord\]"):
        open_video(clip.path, DECORD)
