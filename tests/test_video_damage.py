"""Files that broke: everything readable is delivered at its true time, the rest is counted, and it is said."""

from __future__ import annotations

import itertools

import pytest

from streamfer.errors import EXIT_SOURCE_DAMAGED, SourceDamaged
from streamfer.records import Frame
from streamfer.video import open_video
from tests import clips


def read_all(path) -> tuple[list[Frame], SourceDamaged | None, object]:
    frames: list[Frame] = []
    with open_video(path) as source:
        try:
            frames.extend(source)
        except SourceDamaged as damage:
            return frames, damage, source.counts
    return frames, None, source.counts


def assert_right_places(frames: list[Frame], clip: clips.Clip) -> None:
    """What was delivered shows the picture that belongs to its time, undamaged."""
    for frame in frames:
        number = clips.number_of(frame.image)
        assert frame.time_s == pytest.approx(clip.times_s[number], abs=2e-3)
        assert clips.is_upright(frame.image)
        assert abs(frame.image.astype(int) - clips.picture(number)).mean() < 6
    assert [frame.index for frame in frames] == list(range(len(frames)))


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv"])
def test_a_file_cut_in_the_middle(tmp_path, ending) -> None:
    clip = clips.cut_off(tmp_path / f"cut.{ending}", 0.5)
    frames, damage, counts = read_all(clip.path)
    assert 45 <= len(frames) <= 65
    assert_right_places(frames, clip)
    assert damage is not None and damage.exit_code == EXIT_SOURCE_DAMAGED
    assert f"{len(frames)} frames" in str(damage) and "4.00 s" in str(damage) and str(clip.path) in str(damage)
    assert counts.decoded == len(frames)


def test_a_cut_file_with_sound(tmp_path) -> None:
    clip = clips.cut_off(tmp_path / "cut.mkv", 0.5, sound_s=4.0)
    frames, damage, _ = read_all(clip.path)
    assert 20 < len(frames) < 120 and damage is not None


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts"])
def test_damage_in_the_middle_is_survived(tmp_path, ending) -> None:
    clip = clips.damaged(tmp_path / f"damaged.{ending}", 40, 60)
    frames, damage, counts = read_all(clip.path)
    assert damage is None
    assert counts.damaged >= 10
    assert_right_places(frames, clip)
    numbers = [clips.number_of(frame.image) for frame in frames]
    assert set(range(38)) <= set(numbers), "all before the damage"
    assert set(range(72, 120)) <= set(numbers), "all from the next key frame on"
    assert not set(range(42, 60)) & set(numbers), "nothing that was destroyed"
    assert {frame.segment for frame in frames if frame.time_s < 1.2} == {0}
    assert {frame.segment for frame in frames if frame.time_s >= 2.4} == {1}, "no event may span the hole"


def test_a_damaged_last_part(tmp_path) -> None:
    clip = clips.damaged(tmp_path / "damaged.mp4", 80, 119)
    frames, damage, _ = read_all(clip.path)
    assert_right_places(frames[:78], clip)
    assert 78 <= len(frames) <= 82, "noise that happens to decode is not noticed"
    assert damage is not None and "4.00 s" in str(damage)


def test_a_file_that_is_mostly_damaged_says_so(tmp_path) -> None:
    clip = clips.damaged(tmp_path / "damaged.mp4", 20, 119)
    _, damage, counts = read_all(clip.path)
    assert damage is not None and "most of it is damaged" in str(damage)
    assert counts.damaged > counts.decoded


def test_damage_without_key_frames_is_trusted_again_after_a_while(tmp_path) -> None:
    endless = {"preset": "ultrafast", "g": "1000", "bf": "0", "crf": "16"}
    clip = clips.damaged(tmp_path / "d.mp4", 40, 43, frames=150, options=endless)
    frames, damage, counts = read_all(clip.path)
    assert damage is None and counts.damaged >= 4
    withheld = [after.time_s - before.time_s for before, after in itertools.pairwise(frames)]
    assert 1.5 < max(withheld) < 2.5
    assert frames[-1].time_s == pytest.approx(clip.times_s[-1])


def test_nothing_is_written_to_stderr(tmp_path, capfd) -> None:
    for ending in ("mp4", "mkv", "ts"):
        read_all(clips.damaged(tmp_path / f"d.{ending}", 40, 60).path)
    read_all(clips.cut_off(tmp_path / "c.mp4").path)
    assert capfd.readouterr().err == ""


def test_a_few_frames_less_than_claimed_are_no_damage(tmp_path) -> None:
    """The container counts 120 frames of 4 s; the last three were never written."""
    clip = clips.cfr(tmp_path / "c.mp4", 120)
    data = bytearray(clip.path.read_bytes())
    at = data.rindex(b"mdhd") + 4 + 12  # version 0: flags, created, changed; then ticks per second and duration
    ticks = int.from_bytes(data[at : at + 4], "big")
    data[at + 4 : at + 8] = (ticks * 41 // 10).to_bytes(4, "big")
    clip.path.write_bytes(data)
    frames, damage, _ = read_all(clip.path)
    assert len(frames) == 120 and damage is None


def test_a_last_frame_shown_for_long_is_no_damage(tmp_path) -> None:
    """A screen recording that ends on a picture standing still: its one packet lasts three seconds."""
    seen = []

    def last_lasts(packet) -> bool:
        seen.append(packet)
        packet.duration = 270_000 if len(seen) == 30 else 3000
        return True

    clip = clips.cfr(tmp_path / "c.mp4", 30, options={"bf": "0", "preset": "ultrafast"}, packets=last_lasts)
    with open_video(clip.path) as source:
        assert source.info.duration_s == pytest.approx(29 / 30 + 3, abs=0.1)
        assert len(list(source)) == 30


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_longer_sound_is_no_damage(tmp_path, ending) -> None:
    clip = clips.cfr(tmp_path / f"c.{ending}", 30, sound_s=6.0)
    frames, damage, _ = read_all(clip.path)
    assert len(frames) == 30 and damage is None


def test_two_recordings_joined(tmp_path) -> None:
    """`cat one.ts two.ts`: the clock begins again; nothing is lost and no time runs back."""
    one = clips.cfr(tmp_path / "1.ts", 60, start_s=5.0)
    two = clips.cfr(tmp_path / "2.ts", 60, start_s=1.0)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(one.path.read_bytes() + two.path.read_bytes())
    frames, damage, counts = read_all(joined)
    assert damage is None
    assert [clips.number_of(frame.image) for frame in frames] == [*range(60), *range(60)]
    assert [frame.time_s for frame in frames] == pytest.approx([i / 30 for i in range(120)], abs=1e-3)
    assert [frame.segment for frame in frames] == [0] * 60 + [1] * 60
    assert counts.time_restarts == 1 and counts.time_not_advancing == 0
