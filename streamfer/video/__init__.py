"""Sources of frames. `open_video` opens one, `expand` turns what a user typed into a list of them."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from streamfer import config
from streamfer.errors import NoVideo, SourceMissing, UsageError
from streamfer.video.source import Source

VIDEO_ENDINGS = frozenset(
    (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".flv", ".3gp",
     ".ogv", ".mxf", ".vob")
)


def open_video(path: str | Path, options: config.Video | None = None) -> Source:
    """Open a video file or a folder of frames. Raises SourceError, or UsageError for a folder without --fps."""
    path, options = Path(path), options or config.Video()
    if path.is_dir():
        from streamfer.video.frames import FramesSource

        return FramesSource(path, options)
    if options.reader == "decord":
        from streamfer.video.decord_reader import DecordSource

        return DecordSource(path, options)
    from streamfer.video.file import FileSource

    return FileSource(path, options)


def expand(sources: Sequence[str]) -> list[Path]:
    """Files, globs, folders of videos and folders of frames as a list of sources, in natural order, each once.

    Raises SourceMissing for what is not there and NoVideo for a folder with nothing in it to analyse.
    """
    from streamfer.video.frames import natural

    found: list[Path] = []
    for text in sources:
        if "://" in text:
            raise UsageError(f"{text}: live addresses are not supported yet; give a file or a folder")
        path = Path(text)
        if path.exists():
            found += _inside(path) if path.is_dir() else [path]
            continue
        matches = [Path(match) for match in glob.glob(text, recursive=True)] if glob.has_magic(text) else []  # noqa: PTH207 - an absolute glob is no Path.glob
        if not matches:
            raise SourceMissing(f"{text}: no such file or folder; check the path")
        for match in sorted(matches, key=natural):
            found += _inside(match) if match.is_dir() else [match]
    return list(dict.fromkeys(found))


def _inside(folder: Path) -> list[Path]:
    """The folder itself when it holds frames, else the videos in it, else what is in its folders."""
    from streamfer.video.frames import frame_files, natural

    if frame_files(folder):
        return [folder]
    entries = sorted(folder.iterdir(), key=natural)
    videos = [entry for entry in entries if entry.is_file() and entry.suffix.lower() in VIDEO_ENDINGS]
    if videos:
        return videos
    inside = [source for entry in entries if entry.is_dir() and _holds_any(entry) for source in _inside(entry)]
    if not inside:
        raise NoVideo(f"{folder}: no videos and no pictures in this folder")
    return inside


def _holds_any(folder: Path) -> bool:
    from streamfer.video.frames import ENDINGS

    return any(entry.suffix.lower() in ENDINGS | VIDEO_ENDINGS for entry in folder.rglob("*"))


__all__ = ["Source", "expand", "open_video"]
