"""Everything that is written for people and other programs. One file per format, over `folder.Analysis`.

Each file appears whole or not at all: it is written beside its place and then renamed, so a kill leaves the one before.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path

from streamfer.errors import UsageError

FORMATS: dict[str, str] = {
    "csv": "events.csv",
    "eaf": "events.eaf",
    "vtt": "events.vtt",
    "srt": "events.srt",
    "textgrid": "events.TextGrid",
    "parquet": "faces.parquet",
    "html": "report.html",
    "overlay": "overlay.mp4",
}
"""Name of each format and the file it is written to; `streamfer/reporting/<module>.py` has `write(analysis, path)`."""

_MODULES = {"csv": "events_csv", "srt": "vtt"}


def write_formats(folder: Path, formats: Sequence[str]) -> list[Path]:
    """Write the named formats of an analysed folder; returns the files. Raises UsageError for an unknown one."""
    from streamfer.reporting.folder import load

    check_formats(formats)
    analysis = load(folder)
    written = []
    for name in formats:
        module = importlib.import_module(f"streamfer.reporting.{_MODULES.get(name, name)}")
        path = folder / FORMATS[name]
        part = folder / f".part-{path.name}"
        try:
            module.write(analysis, part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        written.append(path)
    return written


def check_formats(formats: Sequence[str]) -> None:
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise UsageError(f"unknown format '{unknown[0]}': choose from {', '.join(FORMATS)}")
