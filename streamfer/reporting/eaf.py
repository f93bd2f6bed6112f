"""events.eaf for ELAN, written by pympi-ling: one tier per person and kind of annotation, linked to the video."""

from __future__ import annotations

import mimetypes
import re
from pathlib import Path

from streamfer.reporting.folder import Analysis
from streamfer.reporting.tiers import tiers

_NOT_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def write(analysis: Analysis, path: Path) -> None:
    from pympi.Elan import Eaf

    document = Eaf(author="streamfer")
    document.remove_tier("default")
    source = analysis.run.get("source", {})
    if source.get("kind") == "file":
        media = Path(source["path"]).resolve()
        mime = mimetypes.guess_type(media.name)[0] or "video/mp4"
        document.add_linked_file(media.as_uri(), relpath=_relative(media, path), mimetype=mime)
    for tier in tiers(analysis):
        document.add_tier(tier.name, part=tier.person, ann="streamfer")
        for begin_ms, end_ms, text in tier.spans:
            document.add_annotation(tier.name, begin_ms, end_ms, _NOT_XML.sub("", text))
    if not document.tiers:
        document.add_tier("no events")
    path.unlink(missing_ok=True)  # pympi would keep the old file beside the new one
    document.to_file(str(path))


def _relative(media: Path, path: Path) -> str:
    import os

    return Path(os.path.relpath(media, path.resolve().parent)).as_posix()
