"""Make a clip of a face with planted movements, and its truth beside it.

    python -m samples.make_clip OUT.mp4 --seconds 15 --fps 30 --amplitude 0.06 --seed 3
    python -m samples.make_clip OUT.mp4 --base interview.mp4 --micro 3 --macro 0
    python -m samples.make_clip --demo          # rewrites samples/portrait.mp4 and portrait.json

The portrait is scikit-image's `data.astronaut()` (NASA, public domain). Same arguments, same clip.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
import numpy as np

from samples.motion import HEAD, Blink, Head
from samples.planted import Part, Plan, Wish, on_frames, plan, truth
from samples.render import Camera, Footage, Portrait, encode, read_footage

ASTRONAUT = "skimage.data.astronaut(), NASA, public domain"


@dataclass(frozen=True)
class Look:
    """Picture and camera."""

    width: int = 640
    height: int = 360
    face_px: float = 215.0
    noise: float = 1.5  # grey levels
    flicker: float = 0.0  # fraction
    crf: int = 20


def astronaut() -> np.ndarray:
    """(512, 512, 3) RGB portrait that comes with scikit-image."""
    from skimage import data

    return data.astronaut()


def portrait_clip(
    path: str | Path,
    wish: Wish | Plan,
    *,
    seconds: float = 15.0,
    fps: float = 30.0,
    seed: int = 0,
    look: Look | None = None,
    image: np.ndarray | None = None,
    second: Wish | Plan | None = None,
    second_image: np.ndarray | None = None,
) -> dict[str, Any]:
    """Write a clip made from a still portrait and its truth (`.json` beside it); returns the truth.

    With `second` two people sit side by side, as in a call. The second is the mirrored portrait unless
    `second_image` is given; a program that tells people apart will take the mirrored one for the same person.
    """
    look = look or Look()
    path = Path(path)
    rate = Fraction(fps).limit_denominator(1001)
    times = np.array([float(i / rate) for i in range(round(seconds * fps))])
    wishes = [wish] if second is None else [wish, second]
    plans = [w if isinstance(w, Plan) else plan(times, w, seed + 1000 * i) for i, w in enumerate(wishes)]
    picture = astronaut() if image is None else image
    other = picture if second_image is None else second_image
    width = look.width // len(plans)
    face_px = min(look.face_px, 0.6 * width)
    people = [
        Portrait(p, width, look.height, face_px, seed, mirror=i == 1 and second_image is None)
        for i, p in enumerate([picture, other][: len(plans)])
    ]
    heads = [Head(p.head, p.seed + i) for i, p in enumerate(plans)]
    boxes = [np.full((len(times), 4), np.nan) for _ in plans]
    sensor = Camera((width * len(plans), look.height), look.noise, look.flicker, seed)

    def frames() -> Iterator[np.ndarray]:
        for k, t in enumerate(times):
            panels = []
            for i, person in enumerate(people):
                drawn, box = person.draw(float(t), times, plans[i], heads[i])
                boxes[i][k] = box + np.array([i * width, 0, 0, 0])
                panels.append(drawn)
            yield sensor.take(np.hstack(panels), float(t))

    encode(path, frames(), times, look.crf)
    about = _about(path, ASTRONAUT if image is None else "picture given by the caller", float(rate), look, seed, "portrait")
    found = truth(_named(plans), times, boxes, [p.face.ied for p in people], about)
    _write(path, found)
    return found


def footage_clip(
    path: str | Path,
    base: str | Path | Footage,
    wish: Wish | Plan,
    *,
    seed: int = 0,
    width: int | None = 640,
    loop_s: float | None = None,
    noise: float = 0.0,
    flicker: float = 0.0,
    crf: int = 18,
) -> dict[str, Any]:
    """Plant movements into footage, on top of whatever its face does; writes clip and truth, returns the truth.

    The footage's own expressions, blinks and speech are not in the truth.
    """
    path = Path(path)
    footage = base if isinstance(base, Footage) else read_footage(base, width, loop_s)
    times = np.array(footage.times)
    chosen = wish if isinstance(wish, Plan) else plan(times, wish, seed)
    sensor = Camera(footage.size, noise, flicker, seed)
    boxes = np.array([face.box() for face in footage.faces])

    def frames() -> Iterator[np.ndarray]:
        for k in range(len(times)):
            yield sensor.take(footage.draw(k, times, chosen)[0], float(times[k]))

    encode(path, frames(), times, crf)
    fps = (len(times) - 1) / float(times[-1])
    name = "footage" if isinstance(base, Footage) else Path(base).name
    look = Look(*footage.size, face_px=float(boxes[0, 2]), noise=noise, flicker=flicker, crf=crf)
    found = truth(_named([chosen]), times, [boxes], [footage.faces[0].ied], _about(path, name, fps, look, seed, "footage"))
    _write(path, found)
    return found


def demo(folder: Path) -> dict[str, Any]:
    """The clip that comes with the project: 14 s, clearly visible movements written out by hand."""
    fps, seconds, seed = 30.0, 14.0, 100
    t = np.arange(round(fps * seconds)) / fps

    def event(kind: str, start: float, rise: float, hold: float, fall: float, *parts: Part) -> Any:
        return on_frames(kind, parts, t, start, rise, hold, fall)

    events = (
        event("micro", 2.6, 0.17, 0.0, 0.23, Part("AU04", "both", 0.09)),
        event("macro", 4.4, 0.5, 0.6, 0.7, Part("AU12", "both", 0.16), Part("AU06", "both", 0.10)),
        event("micro", 7.6, 0.17, 0.03, 0.23, Part("AU12", "left", 0.10)),
        event("macro", 9.2, 0.4, 0.5, 0.6, Part("AU01", "both", 0.14), Part("AU02", "both", 0.14)),
        event("micro", 12.0, 0.2, 0.0, 0.23, Part("AU15", "both", 0.10)),
    )
    blinks = (Blink(1.3, 1.65), Blink(3.5, 3.85), Blink(6.9, 7.3), Blink(8.45, 8.8), Blink(11.2, 11.55), Blink(13.1, 13.45))
    chosen = Plan(events, blinks, head="calm", seed=seed)
    look = Look(noise=1.2, crf=23)
    return portrait_clip(folder / "portrait.mp4", chosen, seconds=seconds, fps=fps, seed=seed, look=look)


def _named(plans: list[Plan]) -> list[tuple[str, Plan]]:
    return [("AB"[i], one) for i, one in enumerate(plans)]


def _about(path: Path, source: str, fps: float, look: Look, seed: int, base: str) -> dict[str, Any]:
    return {
        "clip": path.name,
        "base": base,
        "source": source,
        "fps": round(fps, 6),
        "width": look.width,
        "height": look.height,
        "seed": seed,
        "crf": look.crf,
        "nuisances": {"noise_levels": look.noise, "flicker": look.flicker},
    }


def _write(path: Path, found: dict[str, Any]) -> None:
    path.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _spans(texts: tuple[str, ...]) -> tuple[tuple[float, float], ...]:
    spans = []
    for text in texts:
        start, _, end = text.partition("-")
        try:
            spans.append((float(start), float(end)))
        except ValueError:
            raise click.BadParameter(f"{text!r}: write a span as START-END in seconds, such as 3-7.5") from None
    return tuple(spans)


@click.command(help=__doc__.split("\n\n")[0] if __doc__ else None)
@click.argument("output", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--base", type=click.Path(exists=True, dir_okay=False), help="Footage to plant into (default: the portrait).")
@click.option("--seconds", default=15.0, show_default=True, help="Length; footage is looped to it when shorter.")
@click.option("--fps", default=30.0, show_default=True, help="Frame rate of a portrait.")
@click.option("--amplitude", multiple=True, default=(0.06,), show_default=True, help="Displacement in IED. Repeatable.")
@click.option("--micro", default=5, show_default=True, help="Micro-expressions.")
@click.option("--macro", default=2, show_default=True, help="Macro-expressions.")
@click.option("--head", type=click.Choice(list(HEAD)), default="calm", show_default=True, help="Head motion of a portrait.")
@click.option("--blinks/--no-blinks", default=True, show_default=True)
@click.option("--speech", multiple=True, metavar="START-END", help="Time in which the mouth talks. Repeatable.")
@click.option("--absent", multiple=True, metavar="START-END", help="Time in which the face is out of the picture. Repeatable.")
@click.option("--two", is_flag=True, help="Two people side by side.")
@click.option("--noise", default=1.5, show_default=True, help="Sensor noise, grey levels.")
@click.option("--flicker", default=0.0, show_default=True, help="Flicker of the light, fraction.")
@click.option("--crf", default=20, show_default=True, help="H.264 quality: lower is better.")
@click.option("--seed", default=0, show_default=True)
@click.option("--demo", "make_demo", is_flag=True, help="Rewrite the clip that comes with the project.")
def main(
    output: Path | None,
    base: str | None,
    seconds: float,
    fps: float,
    amplitude: tuple[float, ...],
    micro: int,
    macro: int,
    head: str,
    blinks: bool,
    speech: tuple[str, ...],
    absent: tuple[str, ...],
    two: bool,
    noise: float,
    flicker: float,
    crf: int,
    seed: int,
    make_demo: bool,
) -> None:
    if make_demo:
        found = demo(Path(__file__).parent)
    elif output is None:
        raise click.UsageError("say where the clip goes: OUTPUT.mp4")
    else:
        wish = Wish(amplitude, micro, macro, blinks and not base, head if not base else "off", _spans(speech), _spans(absent))
        try:
            if base:
                found = footage_clip(output, base, wish, seed=seed, loop_s=seconds, noise=noise, flicker=flicker, crf=crf)
            else:
                look = Look(noise=noise, flicker=flicker, crf=crf)
                second = wish if two else None
                found = portrait_clip(output, wish, seconds=seconds, fps=fps, seed=seed, look=look, second=second)
        except ValueError as error:
            raise click.ClickException(str(error)) from None
    click.echo(f"{found['clip']}: {found['frames']} frames, {len(found['events'])} events")


if __name__ == "__main__":
    main()
