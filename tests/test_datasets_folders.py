"""Frame numbers of files, and annotated numbers as places among them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfer import datasets
from streamfer.datasets.folders import Placing, child, find_folder, is_clip, numbers_of
from streamfer.datasets.moments import Moments, Notes
from streamfer.errors import SourceMissing, UsageError


def folder(at: Path, *names: str) -> Path:
    at.mkdir(parents=True, exist_ok=True)
    for name in names:
        (at / name).touch()
    return at


NAMES = {
    "not_padded": (["img1.jpg", "img10.jpg", "img2.jpg", "img100.jpg"], [1, 2, 10, 100]),
    "padding_that_grows": (["img999.jpg", "img1000.jpg", "img001.jpg"], [1, 999, 1000]),
    "prefix_with_digits": (["006_05562.jpg", "006_05563.jpg"], [5562, 5563]),
    "several_prefixes": (["006_1_0001.jpg", "006_1_0010.jpg"], [1, 10]),
    "counter_of_the_camera": (["reg_image559700.bmp", "reg_image559701.bmp"], [559700, 559701]),
    "endings_with_digits": (["Frame_000001826.JPG"], [1826]),
    "other_files": (["img1.jpg", "Thumbs7.db", "notes2.txt", ".img3.jpg", "cover.jpg"], [1]),
}


@pytest.mark.parametrize(("names", "numbers"), NAMES.values(), ids=NAMES)
def test_numbers(tmp_path: Path, names: list[str], numbers: list[int]) -> None:
    assert numbers_of(folder(tmp_path / "s1_ep07", *names)) == numbers


PLACES = {
    # name: files, (onset, apex, offset) -> places or None, rules
    "first_is_not_one": ([46, 47, 48, 49], (46, 48, 49), (0, 2, 3), []),
    "no_apex": ([46, 47, 48, 49], (47, None, 48), (1, None, 2), []),
    "lost_frames": ([1, 2, 5, 6, 7], (2, 4, 7), (1, 2, 4), ["frame_absent"]),
    "nearest_before": ([1, 2, 6, 7], (1, 3, 7), (0, 1, 3), ["frame_absent"]),
    "ends_after_the_clip": ([1, 2, 3], (2, 3, 9), (1, 2, 2), ["clipped"]),
    "begins_before_the_clip": ([5, 6, 7], (2, 6, 7), (0, 1, 2), ["clipped"]),
    "apex_cut_off": ([1, 2, 3], (2, 6, 9), (1, None, 2), ["clipped"]),
    "after_the_clip": ([1, 2, 3], (7, 8, 9), None, ["outside_clip"]),
    "before_the_clip": ([7, 8, 9], (1, 2, 3), None, ["outside_clip"]),
}


@pytest.mark.parametrize(("files", "written", "places", "rules"), PLACES.values(), ids=PLACES)
def test_places(tmp_path: Path, files, written, places, rules) -> None:
    notes = Notes("t")
    placing = Placing(folder(tmp_path / "c", *(f"img{n}.jpg" for n in files)))
    found = placing.place(Moments(*written), notes, 3)
    assert found == (None if places is None else Moments(*places))
    assert [r.rule for r in notes.remarks] == rules
    assert placing.first_number == files[0]


def test_pictures_without_numbers_are_dropped_and_said(tmp_path: Path) -> None:
    notes = Notes("t")
    placing = Placing(folder(tmp_path / "c", "cover.jpg"))
    assert placing.place(Moments(1, 2, 3), notes, 3) is None and placing.first_number is None
    assert [(r.action, r.rule) for r in notes.remarks] == [("dropped", "no_numbers")]


@pytest.mark.parametrize(("base", "places"), [(1, (9, None, 19)), (0, (10, None, 20))])
def test_a_video_counts_from_its_base(tmp_path: Path, base: int, places: tuple[int, None, int]) -> None:
    (tmp_path / "v.mp4").touch()
    placing = Placing(tmp_path / "v.mp4", base)
    assert placing.place(Moments(10, None, 20), Notes("t"), 1) == Moments(*places)
    assert placing.first_number is None


_apart = st.lists(st.integers(1, 60), min_size=1, max_size=30, unique=True)


@given(_apart, st.tuples(st.integers(1, 70), st.integers(1, 70), st.integers(1, 70)))
def test_places_are_in_order_and_in_the_clip(tmp_path_factory, files: list[int], written: tuple[int, int, int]) -> None:
    placing = Placing(Path("c"))
    placing._numbers = sorted(files)
    notes = Notes("t")
    found = placing.place(Moments(*sorted(written)), notes, 1)  # type: ignore[arg-type]
    if found is None:
        assert [r.rule for r in notes.remarks] == ["outside_clip"]
        return
    assert 0 <= found.onset <= found.offset < len(files)
    assert found.apex is None or found.onset <= found.apex <= found.offset


def test_folders_whatever_their_case(tmp_path: Path) -> None:
    made = folder(tmp_path / "CASME2-raw" / "Sub01", "img1.jpg")
    assert find_folder(tmp_path, ["Cropped", "CASME2-RAW/sub01"], "").samefile(made)
    assert child(tmp_path, "none") is None
    assert is_clip(made) and not is_clip(tmp_path)
    with pytest.raises(SourceMissing, match=r"expected Cropped; what is there: CASME2-raw"):
        find_folder(tmp_path, ["Cropped"], "Cropped")


def test_a_resampled_copy(tmp_path: Path) -> None:
    """A SAMM of one clip, kept at 60 frames a second."""
    folder(tmp_path / "006" / "006_1_2", *(f"006_{n:05d}.jpg" for n in range(5562, 5572)))
    (tmp_path / "SAMM_Micro_FACS_Codes_v2.csv").write_text(
        "Subject,Filename,Onset Frame,Apex Frame,Offset Frame,Action Units,Estimated Emotion\n"
        "006,006_1_2,5562,5566,5571,AU12,Happiness\n"
    )
    assert datasets.load("samm", tmp_path).clips[0].fps == 200
    (tmp_path / "fps.json").write_text('{"fps": 60}')
    read = datasets.load("samm", tmp_path)
    assert read.clips[0].fps == 60 and read.annotations[0].offset == 9
    assert [(r.action, r.rule, r.table) for r in read.remarks] == [("noted", "fps_file", "fps.json")]


@pytest.mark.parametrize(
    "content", ["", "60", "{}", '{"fps": null}', '{"fps": "many"}', '{"fps": 0}', '{"fps": -1}', '{"fps": NaN}', "[60]",
                '{"fps": [60]}', "\x00"], ids=repr
)  # fmt: skip
def test_a_bad_fps_file_names_itself(tmp_path: Path, content: str) -> None:
    folder(tmp_path / "006" / "006_1_2", "006_05562.jpg")
    (tmp_path / "SAMM_Micro_FACS_Codes_v2.csv").write_text("Subject,Filename,Onset Frame,Offset Frame\n006,006_1_2,5562,5562\n")
    (tmp_path / "fps.json").write_text(content)
    with pytest.raises(UsageError, match=r"fps\.json: should hold"):
        datasets.load("samm", tmp_path)
