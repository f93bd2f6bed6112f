"""What a user typed, as a list of sources: files, globs (`**` too), folders of videos, folders of frames."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from streamfer import config
from streamfer.errors import NoVideo, SourceMissing, SourceUnreadable, UsageError

# fmt: off
VIDEO_ENDINGS = frozenset([
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".flv", ".3gp",
    ".ogv", ".mxf", ".vob", ".dv", ".h264", ".h265",
])
# fmt: on
PICTURE_ENDINGS = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"))

_FEW_VIDEOS = 10
"""A folder with more than so many pictures for each video is a folder of frames (with a preview in it); with fewer, the
pictures are thumbnails."""


def expand(sources: Sequence[str]) -> list[Path]:
    """Files, globs, folders of videos and folders of frames as a list of sources, in natural order, each once.

    A file that was named is taken whatever its ending; a glob or a folder gives only what looks like video. A folder
    without videos or pictures is searched folder by folder. Raises SourceMissing for what is not there, NoVideo for a
    folder or glob with nothing in it to analyse, UsageError for pictures named one by one.
    """
    found: dict[Path, Path] = {}  # by real path, so that a source named twice is read once
    for text in sources:
        for path in _sources(text):
            found.setdefault(path.resolve(), path)
    pictures = [path for path in found.values() if path.suffix.lower() in PICTURE_ENDINGS]
    if len(pictures) > 1:
        raise UsageError(f"{pictures[0]} and {len(pictures) - 1} more are pictures: give their folder, with --fps")
    return list(found.values())


def _sources(text: str) -> list[Path]:
    if "://" in text:
        raise UsageError(f"{config.mask(text)}: live addresses are not supported yet; give a file or a folder")
    path = Path(text)
    if path.is_dir():
        inside = _inside(path)
        if not inside:
            raise NoVideo(f"{path}: no videos and no pictures in this folder; check the path")
        return inside
    if path.exists():
        return [path]
    if not glob.has_magic(text):
        raise SourceMissing(f"{text}: no such file or folder; check the path")
    matches = natural_order(Path(match) for match in glob.glob(text, recursive=True))  # noqa: PTH207 - absolute too
    if not matches:
        raise SourceMissing(f"{text}: nothing matches this pattern; check it, and quote it if the shell expands it")
    files = [match for match in matches if not match.is_dir()]
    if "**" not in text and any(match.is_dir() for match in matches):
        inside = [source for match in matches if match.is_dir() for source in _inside(match)]
    else:  # '**' itself names every folder on the way
        inside = [match for match in matches if match.is_dir() and _inside(match) == [match]]
    found = natural_order([*inside, *(file for file in files if file.suffix.lower() in VIDEO_ENDINGS)])
    if not found:
        pictures = any(file.suffix.lower() in PICTURE_ENDINGS for file in files)
        hint = "these are pictures: give their folder, with --fps" if pictures else "check the pattern"
        raise NoVideo(f"{text}: matches {len(matches)} files or folders, none of them a video; {hint}")
    return found


def _inside(folder: Path) -> list[Path]:
    """The folder itself when it holds frames, else the videos in it, else what is in its folders."""
    try:
        entries = natural_order(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise SourceUnreadable(f"{folder}: cannot be listed ({error.strerror}); check its permissions") from None
    files = [entry for entry in entries if entry.is_file()]
    videos = [file for file in files if file.suffix.lower() in VIDEO_ENDINGS]
    pictures = sum(file.suffix.lower() in PICTURE_ENDINGS for file in files)
    if pictures > _FEW_VIDEOS * len(videos):
        return [folder]
    if videos:
        return videos
    # a link to a folder may lead in a circle
    return [source for entry in entries if entry.is_dir() and not entry.is_symlink() for source in _inside(entry)]


def natural_order(paths: Iterable[Path]) -> list[Path]:
    """Sorted so that 9 comes before 10, folder by folder."""
    return sorted(paths, key=lambda path: [_natural(part) for part in path.parts])


def _natural(text: str) -> list[tuple[int, int, str]]:
    parts = re.findall(r"\d+|\D+", text)
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part.lower()) for part in parts]
