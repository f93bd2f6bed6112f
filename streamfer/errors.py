"""Every error that streamfer raises on purpose, and the exit code each one ends the program with.

    StreamferError
    ├── UsageError                2  an option, a config key or a value that cannot be used
    │   └── OutputMismatch        2  the output folder belongs to another source or config
    ├── SourceError               3  the source cannot be read at all
    │   ├── SourceMissing         3
    │   ├── SourceUnreadable      3
    │   ├── NoVideo               3  there is no picture in it (audio only, folder without frames)
    │   └── SourceDamaged         4  it broke part-way: what was read is kept
    ├── ModelError                5
    │   ├── ModelMissing          5
    │   ├── ModelContract         5  an ONNX file that does not say what its numbers mean
    │   ├── ProviderUnavailable   5  CUDA was asked for and is not there
    │   └── ExtraMissing          5  an optional package is not installed
    ├── OutputError               1  the results cannot be written (disk full, no permission)
    ├── QueueError                6
    │   ├── QueueUnreachable      6
    │   ├── QueueFull             6
    │   └── PayloadInvalid        6  a job or result that does not fit its schema, or is too large
    └── ExplainError              7  an explanation failed; the event itself is kept
        └── ParseError            7  a text is not a chain of thought; `reasons` says why

Each message is one sentence or two: what happened, to which file or address, and what to do about it.
Errors of other packages are translated where they arise, so that callers only ever catch this tree.
"""

from __future__ import annotations

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_SOURCE_UNREADABLE = 3
EXIT_SOURCE_DAMAGED = 4
EXIT_MODEL_MISSING = 5
EXIT_QUEUE_UNREACHABLE = 6
EXIT_EXPLANATIONS_FAILED = 7
EXIT_INTERRUPTED = 130


class StreamferError(Exception):
    """Base of all errors that streamfer raises on purpose."""

    exit_code = EXIT_FAILED


class UsageError(StreamferError):
    exit_code = EXIT_USAGE


class OutputMismatch(UsageError):
    """The output folder holds the results of another source or another configuration."""


class SourceError(StreamferError):
    exit_code = EXIT_SOURCE_UNREADABLE


class SourceMissing(SourceError):
    pass


class SourceUnreadable(SourceError):
    pass


class NoVideo(SourceError):
    pass


class SourceDamaged(SourceError):
    """Raised after the last frame that could be read; everything before it has been delivered."""

    exit_code = EXIT_SOURCE_DAMAGED


class ModelError(StreamferError):
    exit_code = EXIT_MODEL_MISSING


class ModelMissing(ModelError):
    pass


class ModelContract(ModelError):
    pass


class ProviderUnavailable(ModelError):
    pass


class ExtraMissing(ModelError):
    """An optional package is needed; the message names the extra to install."""

    @classmethod
    def of(cls, package: str, extra: str, purpose: str) -> ExtraMissing:
        return cls(f"{purpose} needs the package '{package}': pip install 'streamfer[{extra}]'")


class OutputError(StreamferError):
    """Results cannot be written; what is on disk is whole and `--resume` goes on from there."""


class QueueError(StreamferError):
    exit_code = EXIT_QUEUE_UNREACHABLE


class QueueUnreachable(QueueError):
    pass


class QueueFull(QueueError):
    pass


class PayloadInvalid(QueueError):
    pass


class ExplainError(StreamferError):
    exit_code = EXIT_EXPLANATIONS_FAILED


class ParseError(ExplainError):
    """A text that is not a three-section chain of thought with one label; `reasons` has one sentence per fault."""

    def __init__(self, *reasons: str) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons
