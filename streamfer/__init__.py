"""streamfer: video of faces in, a timeline of facial action out that can be checked.

    import streamfer

    analysis = streamfer.analyze("interview.mp4")       # writes out/interview/ and loads it
    analysis.faces                                      # DataFrame: one row per face and frame
    for event in analysis.events:                       # micro- and macro-expressions with their evidence
        print(event.apex.time_s, event.kind, event.aus)

Nothing heavy is imported until it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from streamfer.api import analyze
    from streamfer.config import Config
    from streamfer.errors import StreamferError
    from streamfer.records import (
        AUChange,
        ChainOfThought,
        Event,
        Face,
        Frame,
        Moment,
        RegionMotion,
        Result,
    )
    from streamfer.reporting.folder import Analysis, load
    from streamfer.video import open_video

_WHERE = {
    "analyze": "streamfer.api",
    "load": "streamfer.reporting.folder",
    "open_video": "streamfer.video",
    "Analysis": "streamfer.reporting.folder",
    "Config": "streamfer.config",
    "StreamferError": "streamfer.errors",
    **dict.fromkeys(
        ("AUChange", "ChainOfThought", "Event", "Face", "Frame", "Moment", "RegionMotion", "Result"),
        "streamfer.records",
    ),
}

__all__ = [
    "AUChange",
    "Analysis",
    "ChainOfThought",
    "Config",
    "Event",
    "Face",
    "Frame",
    "Moment",
    "RegionMotion",
    "Result",
    "StreamferError",
    "__version__",
    "analyze",
    "load",
    "open_video",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        import importlib

        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'streamfer' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
