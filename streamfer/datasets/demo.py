"""`streamfer dataset demo`: a small imitation of a data set, drawn from a portrait, to try the whole way with.

    made = make("casme2", Path("demo"), fps=None, subjects=3)
    made.rules      -> Counter of what `dataset check` must report for it
    made.truths     -> the planted expressions, as places in their clips

The frames show the public-domain portrait of scikit-image with movements planted into it (samples/), so onset, apex and
offset are known exactly. The table has the layout and the traps of the distributed one (demo_layouts.py). It shows that
the way works, never how well a method does on the real data: one face, clean light.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from streamfer.datasets import canonical
from streamfer.datasets.demo_layouts import LAYOUTS, Expression, Layout, Video
from streamfer.errors import ExtraMissing, UsageError

if TYPE_CHECKING:
    from samples.planted import Plan

WIDTH, HEIGHT, FACE_PX = 320, 240, 150.0
AMPLITUDE_IED = 0.10
_ZOOMS = (1.0, 0.9, 1.1)  # people of one portrait differ a little in size; every second one is mirrored


@dataclass(slots=True)
class Made:
    """What was made."""

    name: str
    root: Path
    clips: int = 0
    pictures: int = 0
    rules: Counter[str] = field(default_factory=Counter)
    truths: list[Expression] = field(default_factory=list)


def make(
    name: str, out: str | Path, *, fps: float | None = None, subjects: int = 3, seed: int = 0, quirks: bool = True,
    amplitude: float = AMPLITUDE_IED,
) -> Made:  # fmt: skip
    """Write an imitation into the new folder `out`.

    With `fps` frames are drawn at that rate and `fps.json` says so. Raises UsageError for a folder that is not empty,
    ExtraMissing without what draws the frames.
    """
    known = canonical(name)
    out = Path(out)
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty: name a new folder for the imitation")
    layout = LAYOUTS[known]
    rate = fps or layout.fps
    made = Made(known, out)
    try:
        videos = [_draw(layout, out, subject, clip, rate, seed, amplitude, made)
                  for subject in range(1, subjects + 1) for clip in range(1, layout.clips + 1)]  # fmt: skip
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)  # half an imitation would be taken for a whole one
        raise
    made.rules.update(layout.write(out, videos, rate, quirks))
    if fps is not None and layout.fixed_fps:
        (out / "fps.json").write_text(json.dumps({"fps": fps}))
        made.rules["fps_file"] += 1
    return made


def _draw(
    layout: Layout, out: Path, subject: int, clip: int, fps: float, seed: int, amplitude: float, made: Made
) -> Video:  # fmt: skip
    """Frames of one clip, and where its expressions are."""
    import cv2

    times = np.arange(round(layout.seconds * fps)) / fps
    chosen = _plan(layout, times, seed + 97 * subject + clip, amplitude)
    first = layout.first_number(subject, clip)
    keep = range(len(times))
    if layout.cut:  # distributed from onset to offset only
        keep = range(chosen.events[0].onset, chosen.events[0].offset + 1)
    emotion = layout.emotion(subject, clip)
    expressions = tuple(
        Expression(
            event.kind, event.onset, event.apex, event.offset,
            "+".join(f"{_SIDE[part.side]}{int(part.au[2:])}" for part in event.parts), emotion,
        )
        for event in chosen.events
    )  # fmt: skip
    video = Video(subject, clip, first, expressions, emotion)
    folder = out / layout.folder(video)
    folder.mkdir(parents=True, exist_ok=True)
    for index, picture in zip(keep, _pictures(chosen, times, subject, keep), strict=True):
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) if layout.grey else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        file = folder / layout.file(video, first + index)
        if not cv2.imwrite(str(file), grey, [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_PNG_COMPRESSION, 1]):
            raise OSError(f"{file}: cannot be written")
        made.pictures += 1
    made.clips += 1
    made.truths += expressions
    return video


_SIDE = {"both": "", "left": "L", "right": "R"}


def _plan(layout: Layout, times: np.ndarray, seed: int, amplitude: float) -> Plan:
    tools = _samples()
    wish = tools["Wish"]((amplitude,), layout.micro, layout.macro, blinks=layout.macro > 0, gap_s=0.6)
    return tools["plan"](times, wish, seed)


def _pictures(chosen: Plan, times: np.ndarray, subject: int, keep: range) -> Iterator[np.ndarray]:
    from streamfer.faces.networks import quiet

    tools = _samples()
    zoom = _ZOOMS[(subject - 1) % len(_ZOOMS)]
    with quiet():
        person = tools["Portrait"](tools["astronaut"](), WIDTH, HEIGHT, FACE_PX * zoom, subject, mirror=subject % 2 == 0)
    head = tools["Head"](chosen.head, chosen.seed)
    camera = tools["Camera"]((WIDTH, HEIGHT), 1.0, 0.0, chosen.seed)
    for index in keep:
        t = float(times[index])
        yield camera.take(person.draw(t, times, chosen, head)[0], t)


def portrait() -> np.ndarray:
    """(512, 512, 3) uint8 RGB. Raises as `make` does without what draws the frames."""
    return np.asarray(_samples()["astronaut"]())


def _samples() -> dict[str, Any]:
    """The project's own drawing code, which is not part of the installed package."""
    try:
        from samples.make_clip import astronaut
        from samples.motion import Head
        from samples.planted import Wish, plan
        from samples.render import Camera, Portrait
    except ImportError as error:
        if (error.name or "").startswith("samples"):
            raise UsageError(
                "streamfer dataset demo draws with the project's samples/ folder: run it from a checkout of the project"
            ) from None
        raise ExtraMissing.of(error.name or "scikit-image", "samples", "drawing an imitation") from None
    return {"astronaut": astronaut, "Head": Head, "Wish": Wish, "plan": plan, "Camera": Camera, "Portrait": Portrait}
