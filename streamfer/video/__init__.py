"""Sources of frames. `open_video` opens one, `expand` turns what a user typed into a list of them."""

from __future__ import annotations

from pathlib import Path

from streamfer import config
from streamfer.errors import UsageError
from streamfer.video.expand import expand
from streamfer.video.source import Source


def open_video(path: str | Path, options: config.Video | None = None) -> Source:
    """Open a video file or a folder of frames. Raises SourceError, or UsageError for a folder without --fps."""
    if "://" in str(path):
        raise UsageError(f"{config.mask(str(path))}: live addresses are not supported yet; give a file or a folder")
    path, options = Path(path), options or config.Video()
    if options.end_s is not None and options.end_s <= options.start_s:
        raise UsageError(f"video.end_s ({options.end_s:g}) must be later than video.start_s ({options.start_s:g})")
    if path.is_dir():
        from streamfer.video.frames import FramesSource

        return FramesSource(path, options)
    if options.reader == "decord":
        from streamfer.video.decord_reader import DecordSource

        return DecordSource(path, options)
    from streamfer.video.file import FileSource

    return FileSource(path, options)


__all__ = ["Source", "expand", "open_video"]
