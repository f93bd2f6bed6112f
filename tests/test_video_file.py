"""Video files: the right frame at the right time, upright, in RGB; and the right error for what is no video."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from streamfer.config import Video
from streamfer.errors import NoVideo, SourceMissing, SourceUnreadable, UsageError
from streamfer.records import Frame
from streamfer.video import open_video
from streamfer.video.file import file_digest
from tests import clips

X264 = {"preset": "ultrafast", "bf": "2", "g": "24", "crf": "16"}
GOOD_MPEG = {"flags": "qscale", "global_quality": "236"}


def read(path: Path, **options) -> list[Frame]:
    with open_video(path, Video(**options)) as source:
        return list(source)


def assert_true_to(frames: list[Frame], clip: clips.Clip, tolerance_s: float = 1e-6) -> None:
    assert [clips.number_of(frame.image) for frame in frames] == list(clip.numbers)
    assert [frame.time_s for frame in frames] == pytest.approx(clip.times_s, abs=tolerance_s)
    assert [frame.index for frame in frames] == list(range(len(clip.numbers)))
    assert all(clips.is_upright(frame.image) for frame in frames)
    assert {frame.segment for frame in frames} == {0}


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda d: clips.cfr(d / "c.mp4"), id="cfr-mp4"),
        pytest.param(lambda d: clips.vfr(d / "c.mp4"), id="vfr-mp4"),
        pytest.param(lambda d: clips.vfr(d / "c.mkv"), id="vfr-mkv"),
        pytest.param(lambda d: clips.cfr(d / "c.ts", start_s=2.0), id="ts-from-2s"),
        pytest.param(lambda d: clips.cfr(d / "c.mkv", start_s=2.0), id="mkv-from-2s"),
        pytest.param(lambda d: clips.cfr(d / "c.mov"), id="mov"),
        pytest.param(lambda d: clips.cfr(d / "c.mpg", codec="mpeg2video", ticks=30, options={"bf": "2"}), id="mpeg-ps"),
        pytest.param(lambda d: clips.cfr(d / "c.webm", codec="libvpx", options={"deadline": "realtime"}), id="webm"),
        pytest.param(lambda d: clips.cfr(d / "c.avi", ticks=30, options=X264), id="avi-h264-b-frames"),
        pytest.param(lambda d: clips.cfr(d / "c.avi", ticks=30, options=X264 | {"bf": "0"}), id="avi-h264"),
        pytest.param(
            lambda d: clips.cfr(d / "c.avi", ticks=30, codec="mpeg4", options=GOOD_MPEG | {"bf": "2"}),
            id="avi-mpeg4-b-frames",
        ),
        pytest.param(
            lambda d: clips.cfr(d / "c.avi", ticks=30, codec="mjpeg", pix_fmt="yuvj420p", options=GOOD_MPEG),
            id="avi-mjpeg",
        ),
        pytest.param(lambda d: clips.cfr(d / "c.mkv", codec="ffv1", pix_fmt="yuv420p10le"), id="10-bit"),
        pytest.param(lambda d: clips.cfr(d / "c.mkv", codec="ffv1", pix_fmt="yuv422p12le"), id="12-bit"),
        pytest.param(lambda d: clips.cfr(d / "c.mkv", codec="ffv1", pix_fmt="yuva420p"), id="alpha"),
        pytest.param(lambda d: clips.cfr(d / "c.mkv", codec="ffv1", pix_fmt="yuv444p", size=(193, 145)), id="odd-444"),
        pytest.param(lambda d: clips.cfr(d / "c.mkv", codec="ffv1", size=(193, 145)), id="odd-420"),
        pytest.param(lambda d: clips.cfr(d / "c.mp4", options=X264 | {"flags": "+ildct+ilme"}), id="interlaced"),
        pytest.param(lambda d: clips.cfr(d / "c.mp4", frames=1), id="one-frame"),
        pytest.param(lambda d: clips.long_times(d / "c.mp4"), id="four-hours"),
    ],
)
def test_every_frame_at_its_time(tmp_path, make) -> None:
    clip = make(tmp_path)
    tolerance_s = 1e-3 if clip.path.suffix in (".mkv", ".webm") else 1e-6  # Matroska rounds to milliseconds
    with open_video(clip.path) as source:
        frames = list(source)
    assert_true_to(frames, clip, tolerance_s)
    assert source.counts.decoded == len(clip.numbers)
    assert (source.counts.damaged, source.counts.time_not_advancing, source.counts.without_time) == (0, 0, 0)
    assert (source.info.width_px, source.info.height_px) == clip.size
    for frame in frames:
        assert frame.image.shape == (clip.size[1], clip.size[0], 3)
        assert frame.image.dtype == np.uint8 and frame.image.flags.c_contiguous


@pytest.mark.parametrize("pix_fmt", ["gray", "gray16le"])
def test_grey_becomes_rgb(tmp_path, pix_fmt) -> None:
    clip = clips.cfr(tmp_path / "c.mkv", frames=10, codec="ffv1", pix_fmt=pix_fmt)
    frames = read(clip.path)
    assert [clips.number_of(frame.image) for frame in frames] == list(range(10))
    for number, frame in enumerate(frames):
        assert np.ptp(frame.image.astype(int), axis=2).max() <= 1
        luma = clips.picture(number) @ [0.299, 0.587, 0.114]
        assert abs(frame.image[:, :, 0] - luma).max() <= 3, "16 bits are scaled, not cut"


@pytest.mark.parametrize("degrees", [90, -90, 180])
def test_rotation_is_applied(tmp_path, degrees) -> None:
    clip = clips.rotated(tmp_path / "phone.mp4", degrees)
    with av.open(str(clip.path)) as container:
        stored = next(container.decode(video=0))
        assert not clips.is_upright(stored.to_ndarray(format="rgb24"))
    with open_video(clip.path) as source:
        assert abs(source.info.rotation_deg) == abs(degrees)
        assert_true_to(list(source), clip)
        assert (source.info.width_px, source.info.height_px) == clip.size


@pytest.mark.parametrize(
    ("matrix", "drawn"),
    [
        pytest.param((-1, 0, 0, 1), lambda image: image[:, ::-1], id="left-right"),
        pytest.param((1, 0, 0, -1), lambda image: image[::-1], id="top-bottom"),
        pytest.param((0, 1, 1, 0), lambda image: image.transpose(1, 0, 2), id="diagonal"),
        pytest.param((0, -1, -1, 0), lambda image: image[::-1, ::-1].transpose(1, 0, 2), id="other-diagonal"),
    ],
)
def test_mirroring_is_applied(tmp_path, matrix, drawn) -> None:
    clip = clips.mirrored(tmp_path / "selfie.mp4", matrix, drawn)
    assert_true_to(read(clip.path), clip)


def test_pixels_become_square(tmp_path) -> None:
    def stretch(stream) -> None:
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)

    clip = clips.cfr(tmp_path / "hdv.mp4", frames=5, prepare=stretch)
    with open_video(clip.path) as source:
        frames = list(source)
    assert (source.info.width_px, source.info.height_px) == (256, 144)
    assert all(frame.image.shape == (144, 256, 3) and clips.is_upright(frame.image) for frame in frames)


def test_a_stream_that_changes_its_size_keeps_the_first(tmp_path) -> None:
    """Two H.264 streams joined as a video call records them: the second half as large, and taller than wide."""
    first = clips.cfr(tmp_path / "1.h264", frames=10, options=X264 | {"bf": "0"})
    second = clips.cfr(tmp_path / "2.h264", frames=10, options=X264 | {"bf": "0"}, drawn=lambda i: i[::2, ::3])
    joined = tmp_path / "call.h264"
    joined.write_bytes(first.path.read_bytes() + second.path.read_bytes())
    frames = read(joined, fps=10)
    assert [frame.time_s for frame in frames] == pytest.approx([i / 10 for i in range(20)])
    assert {frame.image.shape for frame in frames} == {(144, 192, 3)}
    tall = frames[-1].image  # 64x72 scaled to 128x144, in the middle
    assert tall[:, :30].max() < 20 and tall[:, -30:].max() < 20
    assert tall[:, 40:-40].max() > 200


def test_a_raw_stream_needs_its_frame_rate(tmp_path) -> None:
    clip = clips.cfr(tmp_path / "camera.h264", frames=12)
    with pytest.raises(UsageError, match="--fps"):
        open_video(clip.path)
    frames = read(clip.path, fps=50)
    assert [frame.time_s for frame in frames] == pytest.approx([i / 50 for i in range(12)])
    assert [clips.number_of(frame.image) for frame in frames] == list(range(12))


def test_what_comes_before_the_video_is_told(tmp_path) -> None:
    clip = clips.cfr(tmp_path / "c.mkv", frames=30, start_s=0.5, sound_s=1.5)
    with open_video(clip.path) as source:
        assert source.info.media_offset_s == pytest.approx(0.5, abs=0.03)
        assert next(iter(source)).time_s == 0


def test_start_and_end(tmp_path) -> None:
    clip = clips.vfr(tmp_path / "c.mp4", frames=60)
    frames = read(clip.path, start_s=0.7, end_s=1.6)
    expected = [i for i, time_s in enumerate(clip.times_s) if 0.7 <= time_s <= 1.6]
    assert [frame.index for frame in frames] == expected, "frame numbers are those of the whole file"
    assert [clips.number_of(frame.image) for frame in frames] == expected
    assert [frame.time_s for frame in frames] == pytest.approx([clip.times_s[i] for i in expected])


def test_the_end_before_the_start_is_refused(tmp_path) -> None:
    clip = clips.cfr(tmp_path / "c.mp4", frames=2)
    with pytest.raises(UsageError, match="end_s"):
        open_video(clip.path, Video(start_s=2, end_s=1))


def test_repeated_pictures_are_delivered_and_counted(tmp_path) -> None:
    numbers = [0, 1, 2, 2, 2, 3, 4, 4]
    pts = [i * 3000 for i in range(len(numbers))]
    clip = clips.write(tmp_path / "c.mkv", numbers, pts, Fraction(1, 90000), codec="ffv1")
    with open_video(clip.path) as source:
        assert_true_to(list(source), clip, 1e-3)
    assert source.counts.duplicated == 3


def test_a_small_change_is_no_repetition(tmp_path) -> None:
    """One pixel that no sparse sample sees."""
    drawn_so_far = []

    def one_pixel(image: np.ndarray) -> np.ndarray:
        drawn_so_far.append(0)
        still = clips.picture(5)
        still[100 + len(drawn_so_far) % 3, 101] = 255
        return still

    clip = clips.write(
        tmp_path / "c.mkv", [5] * 6, range(6), Fraction(1, 30), codec="ffv1", pix_fmt="bgra", drawn=one_pixel
    )
    with open_video(clip.path) as source:
        assert len(list(source)) == 6
    assert source.counts.duplicated == 0


def test_steps_are_measured(tmp_path) -> None:
    clip = clips.vfr(tmp_path / "c.mp4")
    with open_video(clip.path) as source:
        list(source)
    steps = np.diff(clip.times_s)
    assert source.counts.min_step_s == pytest.approx(steps.min())
    assert source.counts.max_step_s == pytest.approx(steps.max())


def test_facts(tmp_path) -> None:
    clip = clips.cfr(tmp_path / "a clip.mp4", frames=60)
    with open_video(str(clip.path)) as source:
        info = source.info
    assert (info.name, info.path, info.kind, info.reader) == ("a clip", str(clip.path), "file", "av")
    assert (info.fps, info.duration_s, info.frames_claimed, info.codec) == (30, 2, 60, "h264")
    assert info.media_offset_s == 0 and info.rotation_deg == 0


def test_digest_tells_files_apart(tmp_path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    start, end = b"s" * 2**20, b"e" * 2**20
    one.write_bytes(start + b"middle" + end)
    other.write_bytes(start + b"middle" + end[:-1] + b"x")
    assert len(file_digest(one)) == 16 and file_digest(one) != file_digest(other)
    other.write_bytes(one.read_bytes())
    assert file_digest(one) == file_digest(other)
    other.write_bytes(start + b"middle." + end)
    assert file_digest(one) != file_digest(other), "the size counts"


def test_a_source_is_read_once(tmp_path) -> None:
    with open_video(clips.cfr(tmp_path / "c.mp4", frames=3).path) as source:
        assert len(list(source)) == 3
        with pytest.raises(RuntimeError, match="once"):
            list(source)


def test_closing_ends_the_iteration(tmp_path) -> None:
    source = open_video(clips.cfr(tmp_path / "c.mp4").path)
    frames = iter(source)
    next(frames)
    source.close()
    assert list(frames) == []
    source.close()


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        pytest.param(lambda d: d / "nowhere.mp4", SourceMissing, "no such file", id="missing"),
        pytest.param(lambda d: clips.empty(d / "e.mp4"), SourceUnreadable, "is empty", id="empty"),
        pytest.param(lambda d: clips.random_bytes(d / "r.mp4"), SourceUnreadable, "FFmpeg", id="random-bytes"),
        pytest.param(lambda d: clips.audio_only(d / "a.m4a"), NoVideo, "only audio", id="audio-only"),
        pytest.param(lambda d: "rtsp://user:secret@host/1", UsageError, "live", id="address"),
    ],
)
def test_what_is_no_video(tmp_path, make, error, words) -> None:
    path = make(tmp_path)
    with pytest.raises(error, match=words) as caught:
        open_video(path)
    message = str(caught.value)
    assert "\n" not in message and "secret" not in message
    assert isinstance(path, str) or str(path) in message


def test_no_permission(tmp_path, monkeypatch) -> None:
    path = clips.cfr(tmp_path / "c.mp4", frames=2).path

    def refuse(self, *_args, **_kwargs):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)  # chmod does not stop root
    with pytest.raises(SourceUnreadable, match="Permission denied"):
        open_video(path)
