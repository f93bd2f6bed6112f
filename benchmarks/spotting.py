"""How well are planted movements found? Makes the clips, runs `streamfer analyze` on them, prints the scores.

    python -m benchmarks.spotting                              # the reporting clips, a table as markdown
    python -m benchmarks.spotting --quick                      # 30 fps only
    python -m benchmarks.spotting --split tuning --set screening.min_score=0.4
    python -m benchmarks.spotting --rival                      # the naive spotter on the same frames
    python -m benchmarks.spotting --calm a.mp4 --talking b.mp4 # plant into your own footage too

Clips are kept in `--clips` and made again only when their recipe changes. Seeds 0-9 are for tuning, seeds from 100
on for reporting; a run sees one of the two and its output says which. Rules of matching: streamfer/evaluation/spotting.py.

Planted movements are smooth warps of one portrait: they say whether movement of a given size, speed and place is
found among head motion, blinks, noise and compression. They do not say how well people's own expressions are found.
"""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from samples import make_clip, motion, muscles, planted, render
from samples.make_clip import Look, footage_clip, portrait_clip
from samples.planted import Plan, Wish
from streamfer.evaluation.spotting import Counts, Spot, Spotting, evaluate, match
from streamfer.records import Event, Moment, from_json

Analyser = Callable[[Sequence[Path]], dict[str, list[Spot]]]
"""Clips -> what was found in each, by the clip's name without ending."""

AMPLITUDES = (0.02, 0.04, 0.06, 0.10)
SEEDS = {"tuning": range(10), "reporting": range(100, 200)}
CLIPS_PER_CELL = {25: 3, 30: 5, 60: 2, 200: 2}  # frame rate: clips at each amplitude
_PLAIN = "portrait"


@dataclass(frozen=True)
class Clip:
    """A recipe: the same recipe always gives the same clip."""

    name: str
    group: str
    seed: int
    wish: Wish
    fps: float = 30.0
    seconds: float = 18.0
    look: Look = field(default_factory=Look)
    base: str = ""  # footage to plant into; "" = the portrait


def recipes(
    split: str, quick: bool = False, calm: Iterable[str] = (), talking: Iterable[str] = (), per_cell: int = 99
) -> list[Clip]:
    """All clips of a split."""
    first = SEEDS[split].start
    clips = []
    for fps, count in CLIPS_PER_CELL.items():
        if quick and fps != 30:
            continue
        for amplitude in AMPLITUDES:
            wish = Wish((amplitude,), 6, 2) if fps < 200 else Wish((amplitude,), 4, 0)
            for k in range(min(count, per_cell)):
                name = f"portrait_{fps}fps_a{amplitude * 100:02.0f}_s{first + k}"
                clips.append(Clip(name, _PLAIN, first + k, wish, fps, 18.0 if fps < 200 else 8.0))
    six = Wish((0.06,), 6, 2)
    talks = replace(six, micro=5, macro=1, head="talking", speech=((2, 9), (11, 17)))
    nothing = Wish((0.06,), 0, 0)
    speaks = replace(nothing, head="talking", speech=((1, 12), (14, 26), (28, 43)))
    for k in range(2):
        seed = first + 5 + k
        clips += [
            Clip(f"still_s{seed}", "head still, no blinks", seed, replace(six, head="off", blinks=False)),
            Clip(f"noisy_s{seed}", "noise 4, flicker 3 %, CRF 28", seed, six, look=Look(noise=4, flicker=0.03, crf=28)),
            Clip(f"lively_s{seed}", "head of a talker", seed, replace(six, head="talking")),
            Clip(f"talks_s{seed}", "talking", seed, talks),
            Clip(f"nothing_calm_s{seed}", "nothing: calm head, blinks", seed, nothing, seconds=45.0),
        ]
    lively = replace(nothing, head="talking")
    clips += [
        *(
            Clip(f"nothing_lively_s{first + k}", "nothing: head of a talker, blinks", first + k, lively, seconds=45.0)
            for k in (7, 9)
        ),
        Clip(f"nothing_talks_s{first + 8}", "nothing: talking", first + 8, speaks, seconds=45.0),
    ]
    for kind, files in (("calm", calm), ("talking", talking)):
        for file in files:
            stem = Path(file).stem
            clips.append(Clip(f"{stem}_untouched", f"footage {kind}: untouched", first, nothing, base=file))
            for amplitude in (0.06, 0.10):
                clips += [
                    Clip(
                        f"{stem}_a{amplitude * 100:02.0f}_s{first + k}", f"footage {kind}: planted {amplitude:.2f}", first + k,
                        Wish((amplitude,), 3, 0, blinks=False, head="off"), base=file,
                    )
                    for k in range(min(3, per_cell))
                ]  # fmt: skip
    return clips


def make(clips: Sequence[Clip], folder: Path, say: Callable[[str], None] = lambda _: None) -> None:
    """Make the clips that are missing or whose recipe, or the code that draws them, has changed."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn_by = "".join(Path(str(m.__file__)).read_text() for m in (motion, muscles, planted, render, make_clip))
    opened: tuple[str, render.Footage] | None = None
    for i, clip in enumerate(clips):
        recipe = hashlib.sha256((json.dumps(asdict(clip), sort_keys=True) + drawn_by).encode()).hexdigest()
        mark = folder / f"{clip.name}.recipe"
        if mark.exists() and mark.read_text() == recipe:
            continue
        say(f"making {clip.name} ({i + 1} of {len(clips)})")
        target = folder / f"{clip.name}.mp4"
        if clip.base:
            if opened is None or opened[0] != clip.base:
                opened = (clip.base, render.read_footage(clip.base, 640, 10.0))
            chosen = clip.wish if clip.wish.micro else Plan()
            footage_clip(target, opened[1], chosen, seed=clip.seed)
        else:
            portrait_clip(target, clip.wish, seconds=clip.seconds, fps=clip.fps, seed=clip.seed, look=clip.look)
        mark.write_text(recipe)


def streamfer_cli(output: Path, assignments: Sequence[str] = ()) -> Analyser:
    """`streamfer analyze` in a process of its own. Raises RuntimeError with its last words when it fails."""

    def run(clips: Sequence[Path]) -> dict[str, list[Spot]]:
        command = [sys.executable, "-m", "streamfer", "analyze", *map(str, clips), "-o", str(output)]
        command += ["--backend", "none", "--overwrite", "--quiet", "--to", "csv"]
        for text in assignments:
            command += ["--set", text]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise RuntimeError(f"streamfer analyze ended with {done.returncode}: {done.stderr[-2000:]}")
        return {clip.stem: read_events(output / clip.stem / "events.jsonl") for clip in clips}

    return run


def naive(clips: Sequence[Path]) -> dict[str, list[Spot]]:
    """The rival of benchmarks/naive_spotter.py."""
    from benchmarks.naive_spotter import spot

    return {clip.stem: spot(clip) for clip in clips}


def read_events(path: Path) -> list[Spot]:
    return [Spot.of(from_json(Event, line), path.parent.name) for line in path.read_text().splitlines() if line]


def read_truth(path: Path) -> tuple[list[Spot], dict[str, Any]]:
    truth = json.loads(path.read_text())
    spots = [
        Spot(path.stem, e["kind"], Moment(**e["onset"]), Moment(**e["offset"]), Moment(**e["apex"])) for e in truth["events"]
    ]
    return spots, truth


@dataclass(frozen=True)
class Cell:
    """Some clips with what is true and what was found."""

    truths: list[Spot]
    found: list[Spot]
    videos: list[str]
    minutes: float

    @property
    def spotting(self) -> Spotting:
        return evaluate(self.truths, self.found, self.videos)

    def any_kind(self, kind: str) -> float:
        """Share of the truths of a kind that were found at the right time, whatever kind they were called."""
        hits = match(self.truths, self.found, kinds_must_agree=False)
        of_kind = [i for i, t in enumerate(self.truths) if t.kind == kind]
        return len({i for i, _, _ in hits} & set(of_kind)) / len(of_kind) if of_kind else math.nan


def half_recall(amplitudes: Sequence[float], hits: Sequence[int], truths: Sequence[int]) -> float:
    """Amplitude at which recall is one half: logistic curve over log amplitude, by maximum likelihood.

    A weak prior (slope about 3 per doubling) keeps the fit finite where recall jumps from 0 to 1. Values outside
    the range tried are not to be trusted: NaN.
    """
    from scipy.optimize import minimize

    x = np.log2(np.asarray(amplitudes, dtype=float))
    a, m = np.asarray(hits, dtype=float), np.asarray(truths, dtype=float)

    def cost(p: np.ndarray) -> float:
        z = p[1] * (x - p[0])
        return float(np.sum(m * np.logaddexp(0, z) - a * z) + 0.5 * (p[1] - 3) ** 2)

    best = minimize(cost, np.array([x.mean(), 3.0]), method="Nelder-Mead")
    middle = float(best.x[0])
    return 2**middle if x.min() <= middle <= x.max() and best.x[1] > 0 else math.nan


def report(clips: Sequence[Clip], found: dict[str, list[Spot]], folder: Path, title: str) -> str:
    """The scores as markdown. A clip that `found` does not name is an error, not an empty result."""
    missing = [clip.name for clip in clips if clip.name not in found]
    if missing:
        raise KeyError(f"the analyser said nothing about {', '.join(missing)}")

    def cell(chosen: Iterable[Clip]) -> Cell:
        truths: list[Spot] = []
        spots: list[Spot] = []
        minutes, names = 0.0, []
        for clip in chosen:
            here, truth = read_truth(folder / f"{clip.name}.json")
            truths += here
            spots += found[clip.name]
            minutes += truth["frames"] / truth["fps"] / 60
            names.append(clip.name)
        return Cell(truths, spots, names, minutes)

    split = "tuning" if clips[0].seed in SEEDS["tuning"] else "reporting"
    if any(clip.seed not in SEEDS[split] for clip in clips):
        raise ValueError("tuning and reporting clips are never mixed in one table")
    lines = [
        f"## {title}", "",
        f"{split.capitalize()} clips (seeds {min(c.seed for c in clips)}-{max(c.seed for c in clips)}); "
        + ("options may have been chosen on these." if split == "tuning" else "no option was chosen on these."),
        "MEGC rules: IoU >= 0.5 in frames, one to one, kind must agree. Amplitude is the largest displacement of the skin "
        "as a fraction of the distance between the inner eye corners (IED).",
    ]  # fmt: skip
    plain = [clip for clip in clips if clip.group == _PLAIN]
    if plain:
        lines += _plain_section(plain, cell)
    groups = [g for g in dict.fromkeys(clip.group for clip in clips) if g != _PLAIN]
    seeing = [g for g in groups if not (g.startswith("nothing") or g.endswith("untouched"))]
    if seeing:
        lines += [
            "", "### Harder, easier and real (30 fps; 0.06 unless stated)", "",
            "| clips | kind | n | precision | recall | F1 | found as any kind | apex error, frames | ms | false per min |",
            "|---|---|---|---|---|---|---|---|---|---|",
        ]  # fmt: skip
        for group in seeing:
            lines += [f"| {group} | {row}" for row in _rows(cell(c for c in clips if c.group == group))]
    empty = [g for g in groups if g not in seeing]
    if empty:
        lines += [
            "", "### Nothing planted", "",
            "Footage that nobody planted into may well hold expressions of its own: what is found there is not all false.", "",
            "| clips | minutes | micro | macro | micro per min | macro per min |", "|---|---|---|---|---|---|",
        ]  # fmt: skip
        for group in empty:
            here = cell(c for c in clips if c.group == group)
            n = {kind: sum(s.kind == kind for s in here.found) for kind in ("micro", "macro")}
            rates = " | ".join(f"{n[k] / here.minutes:.1f}" for k in n)
            lines.append(f"| {group} | {here.minutes:.2f} | {n['micro']} | {n['macro']} | {rates} |")
    return "\n".join(lines) + "\n"


def _plain_section(clips: Sequence[Clip], cell: Callable[[Iterable[Clip]], Cell]) -> list[str]:
    """Calm head, blinks, light noise: by frame rate and amplitude."""
    lines = [
        "", "| fps | IED | kind | n | precision | recall | F1 | found as any kind | apex error, frames | ms | false per min |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    halves = []
    for fps in dict.fromkeys(clip.fps for clip in clips):
        counts = {}
        for amplitude in AMPLITUDES:
            here = [c for c in clips if c.fps == fps and c.wish.amplitudes == (amplitude,)]
            if here:
                one = cell(here)
                lines += [f"| {fps:g} | {amplitude:.2f} | {row}" for row in _rows(one)]
                counts[amplitude] = one.spotting.counts("micro")
        if len(counts) > 1:
            halves.append(f"- {fps:g} fps: {_half(counts)}")
    lines += ["", "All of the above together, 95 % confidence from drawing clips again:", ""]
    everything = cell(clips).spotting
    for kind in ("micro", "macro", "overall"):
        low, high = everything.interval("f1", kind)
        lines.append(f"- {kind}: F1 {_share(everything.counts(kind).f1)} ({_share(low)}-{_share(high)})")
    if halves:
        lines += ["", "Amplitude at which half of the micro-expressions are found:", "", *halves]
    return lines


def _rows(cell: Cell) -> list[str]:
    rows = []
    result = cell.spotting
    for kind in ("micro", "macro"):
        counts, apex = result.counts(kind), result.apex(kind)
        if not counts.truths and not counts.predictions:
            continue
        shares = " | ".join(_share(v) for v in (counts.precision, counts.recall, counts.f1, cell.any_kind(kind)))
        errors = f"{_number(apex.median_frames)} | {_number(apex.median_ms)}"
        rows.append(f"{kind} | {counts.truths} | {shares} | {errors} | {counts.false_alarms / cell.minutes:.1f} |")
    return rows


def _half(counts: dict[float, Counts]) -> str:
    recalls = [c.recall for c in counts.values()]
    if min(recalls) >= 0.5:
        return f"below {min(counts):.2f} IED"
    if max(recalls) < 0.5:
        return f"above {max(counts):.2f} IED"
    value = half_recall(list(counts), [c.hits for c in counts.values()], [c.truths for c in counts.values()])
    return "no clear curve" if math.isnan(value) else f"{value:.3f} IED"


def _share(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.1f}".removesuffix(".0")


@click.command(help=__doc__)
@click.option("--split", type=click.Choice(list(SEEDS)), default="reporting", show_default=True)
@click.option("--quick", is_flag=True, help="30 fps only.")
@click.option("--per-cell", default=99, help="At most so many clips for each rate and amplitude, or footage.")
@click.option("--rival", is_flag=True, help="Score the naive spotter instead of streamfer.")
@click.option("--calm", multiple=True, type=click.Path(exists=True), help="Footage of a calm face to plant into. Repeatable.")
@click.option("--talking", multiple=True, type=click.Path(exists=True), help="Footage of somebody talking. Repeatable.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Passed on to streamfer analyze.")
@click.option("--clips", type=click.Path(path_type=Path), help="Where clips are kept (default: a folder in the temp folder).")
@click.option("--only", metavar="TEXT", help="Only clips whose name holds this text.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the table to this file too.")
def main(
    split: str,
    quick: bool,
    per_cell: int,
    rival: bool,
    calm: tuple[str, ...],
    talking: tuple[str, ...],
    assignments: tuple[str, ...],
    clips: Path | None,
    only: str | None,
    output: Path | None,
) -> None:
    folder = clips or Path(tempfile.gettempdir()) / "streamfer-spotting-clips"
    chosen = [c for c in recipes(split, quick, calm, talking, per_cell) if only is None or only in c.name]
    if not chosen:
        raise click.UsageError(f"no clip's name holds {only!r}")
    make(chosen, folder, lambda text: click.echo(text, err=True))
    with tempfile.TemporaryDirectory() as results:
        analyser = naive if rival else streamfer_cli(Path(results), assignments)
        try:
            found = analyser([folder / f"{clip.name}.mp4" for clip in chosen])
        except RuntimeError as error:
            raise click.ClickException(str(error)) from None
    title = "Spotting: the naive rival" if rival else "Spotting" + "".join(f", {text}" for text in assignments)
    text = report(chosen, found, folder, title)
    click.echo(text)
    if output:
        output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
