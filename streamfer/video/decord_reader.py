"""Video files through decord, for those who need to compare with it: `--reader decord`. Local files only.

decord was last released in 2021. It reads ahead without bound and gives frames of MPEG-TS in the wrong order, so frames
are asked for one by one, its buffer is emptied now and then, and transport streams are refused. PyAV is the default.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from streamfer import config
from streamfer.errors import ExtraMissing, SourceDamaged, SourceUnreadable, UsageError
from streamfer.records import Frame, SourceCounts, SourceInfo
from streamfer.video.file import FileSource
from streamfer.video.source import FrameClock

_TRANSPORT_STREAMS = frozenset({".ts", ".mts", ".m2ts"})


class DecordSource:
    """The frames of a local file. What decord does not tell (rotation, codec, offsets) is asked of PyAV."""

    def __init__(self, path: str | Path, options: config.Video) -> None:
        try:
            import decord
        except ImportError:
            raise ExtraMissing.of("decord", "decord", "--reader decord") from None
        path = Path(path)
        if path.suffix.lower() in _TRANSPORT_STREAMS:
            raise UsageError(f"{path}: decord gives the frames of MPEG-TS in the wrong order; use --reader av")
        with FileSource(path, options) as described:
            self.info: SourceInfo = replace(described.info, reader="decord")
            starts_late = described.first_pts_s > 0
        if starts_late:  # seen: next() never returns, and holds the interpreter lock while it does not
            raise UsageError(f"{path}: decord hangs on files whose first frame is not at 0; use --reader av")
        if self.info.rotation_deg:
            raise UsageError(f"{path}: decord does not tell how this file is rotated; use --reader av")
        self.counts = SourceCounts()
        self._path = path
        self._options = options
        try:
            self._reader = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=options.threads or 1)
        except (decord.DECORDError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise SourceUnreadable(f"{path}: decord cannot read it ({reason}); use --reader av") from None

    def __enter__(self) -> DecordSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._reader = None

    def __iter__(self) -> Iterator[Frame]:
        import decord

        reader = self._reader
        assert reader is not None
        clock = FrameClock(self.counts, self._options.start_s, self._options.end_s)
        first_s = float(reader.get_frame_timestamp(0)[0])
        for index in range(len(reader)):
            time_s = float(reader.get_frame_timestamp(index)[0]) - first_s
            if clock.ended(time_s):
                return
            try:
                image = reader.next().asnumpy()
            except (decord.DECORDError, StopIteration, RuntimeError) as error:
                raise SourceDamaged(
                    f"{self._path}: decord stopped after {self.counts.decoded} of {len(reader)} frames "
                    f"({type(error).__name__})"
                ) from None
            if clock.accept(time_s):
                yield clock.deliver(index, time_s, image)
