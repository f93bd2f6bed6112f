"""What a user types becomes a list of sources."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamfer.errors import NoVideo, SourceMissing, UsageError
from streamfer.video import expand


@pytest.fixture
def tree(tmp_path, monkeypatch) -> Path:
    for name in (
        "one.mp4", "readme.txt",
        "clips/c10.mp4", "clips/c9.MP4", "clips/c9.jpg", "clips/.hidden.mp4", "clips/notes.txt",
        "casme/sub01/EP01/img1.jpg", "casme/sub01/EP01/img2.jpg", "casme/sub02/EP02/img1.png",
        "mixed/sub1/a.avi", "mixed/sub2/frames/1.png", "mixed/docs/x.pdf",
        "preview/preview.mp4", *(f"preview/{i}.png" for i in range(30)),
        "nothing/deep/notes.txt",
    ):  # fmt: skip
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        pytest.param(["one.mp4"], ["one.mp4"], id="file"),
        pytest.param(["readme.txt"], ["readme.txt"], id="a-named-file-is-taken-as-it-is"),
        pytest.param(["clips"], ["clips/c9.MP4", "clips/c10.mp4"], id="folder-with-thumbnail"),
        pytest.param(["clips/*"], ["clips/c9.MP4", "clips/c10.mp4"], id="glob-takes-only-videos"),
        pytest.param(["casme/sub01/EP01"], ["casme/sub01/EP01"], id="folder-of-frames"),
        pytest.param(["casme"], ["casme/sub01/EP01", "casme/sub02/EP02"], id="folders-of-frames"),
        pytest.param(["casme/*"], ["casme/sub01/EP01", "casme/sub02/EP02"], id="glob-of-folders"),
        pytest.param(["casme/**"], ["casme/sub01/EP01", "casme/sub02/EP02"], id="double-star-frames"),
        pytest.param(["mixed"], ["mixed/sub1/a.avi", "mixed/sub2/frames"], id="mixed"),
        pytest.param(["mixed/**"], ["mixed/sub1/a.avi", "mixed/sub2/frames"], id="double-star-mixed"),
        pytest.param(["**/*.mp4"], ["clips/c10.mp4", "one.mp4", "preview/preview.mp4"], id="double-star-ending"),
        pytest.param(["preview"], ["preview"], id="frames-with-a-preview"),
        pytest.param(["one.mp4", "./one.mp4", "o*.mp4", "clips/../one.mp4"], ["one.mp4"], id="each-once"),
        pytest.param(["clips/c10.mp4", "one.mp4"], ["clips/c10.mp4", "one.mp4"], id="order-as-typed"),
    ],
)
def test_found(tree, typed, found) -> None:
    assert expand(typed) == [Path(path) for path in found]


def test_absolute_glob(tree) -> None:
    assert expand([f"{tree}/clips/*.mp4"]) == [tree / "clips/c10.mp4"]


@pytest.mark.parametrize(
    ("typed", "error", "words"),
    [
        pytest.param("two.mp4", SourceMissing, r"two\.mp4: no such file", id="file"),
        pytest.param("*.mkv", SourceMissing, r"\*\.mkv: nothing matches", id="glob"),
        pytest.param("nothing", NoVideo, "nothing: no videos and no pictures", id="folder-without"),
        pytest.param("*.txt", NoVideo, "none of them a video", id="glob-without"),
        pytest.param("casme/sub01/EP01/*", NoVideo, "give their folder", id="glob-of-pictures"),
        pytest.param("rtsp://admin:secret@cam/1", UsageError, r"rtsp://admin:\*\*\*@cam/1", id="address"),
    ],
)
def test_not_found(tree, typed, error, words) -> None:
    with pytest.raises(error, match=words) as caught:
        expand(["one.mp4", typed])
    assert "secret" not in str(caught.value)


def test_pictures_named_one_by_one(tree) -> None:
    with pytest.raises(UsageError, match="give their folder"):
        expand(["casme/sub01/EP01/img1.jpg", "casme/sub01/EP01/img2.jpg"])


def test_brackets_in_a_file_name(tree) -> None:
    (tree / "take [1].mp4").touch()
    assert expand(["take [1].mp4"]) == [Path("take [1].mp4")]


def test_a_link_in_a_circle(tree) -> None:
    (tree / "casme/sub01/back").symlink_to(tree / "casme", target_is_directory=True)
    assert expand(["casme"]) == [Path("casme/sub01/EP01"), Path("casme/sub02/EP02")]
