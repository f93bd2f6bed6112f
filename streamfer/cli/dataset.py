"""`streamfer dataset`: which data sets are known, what one on disk holds, and imitations to try the way with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streamfer.errors import UsageError

if TYPE_CHECKING:
    from streamfer.datasets.check import Check, Count


@click.group()
def command() -> None:
    """Data sets as they are distributed: micro-expressions, single faces with action units or expressions."""


@command.command("list")
def list_command() -> None:
    """One line for each data set: name, frame rate, what its folder must hold."""
    from streamfer.datasets.published import PUBLISHED
    from streamfer.datasets.still_check import FACTS

    for name, facts in PUBLISHED.items():
        click.echo(f"{name:11} {facts.title:22} {facts.fps:>17} fps   {facts.needs}")
    for name, own in FACTS.items():
        click.echo(f"{name:11} {own.title:22} {'single faces':>21}   {own.needs}")


@command.command()
@click.argument("name")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--rows", is_flag=True, help="Say every repaired, dropped or noted row, not only how many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables.")
def check(name: str, path: Path, rows: bool, as_json: bool) -> None:
    """Read data set NAME at PATH: counts beside the published ones, and every row that was mended or dropped."""
    from streamfer import datasets
    from streamfer.datasets import still_check, stills
    from streamfer.datasets.check import check as check_dataset

    if stills.known(name):
        told = still_check.check(stills.load(name, path))
        click.echo(json.dumps(told.as_dict(), ensure_ascii=False, indent=1) if as_json else "\n".join(still_check.lines(told, rows)))
        return
    found = check_dataset(datasets.load(name, path))
    if as_json:
        click.echo(json.dumps(found.as_dict(), ensure_ascii=False, indent=1))
        return
    _show(found, rows)


@command.command()
@click.argument("name")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--fps", type=click.FloatRange(10, 1000), help="Frame rate instead of the data set's own.")
@click.option("--subjects", type=click.IntRange(1, 40), default=3, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--no-quirks", is_flag=True, help="A clean table, without the traps of the real one.")
def demo(name: str, out: Path, fps: float | None, subjects: int, seed: int, no_quirks: bool) -> None:
    """Make a small imitation of data set NAME in the new folder OUT: its layout, its table with all its quirks, and
    frames in which movements were planted. Run from a checkout of the project (it draws with samples/)."""
    from streamfer.datasets import stills
    from streamfer.datasets.demo import make

    if own := stills.known(name):
        from streamfer.datasets import still_demo

        if fps is not None:
            raise UsageError(f"{own} has single faces and no frame rate: leave --fps out")
        made = still_demo.make(own, out, subjects=subjects, seed=seed, quirks=not no_quirks)
        click.echo(f"{out}: {made.pictures} pictures, {sum(made.rules.values())} planted quirks")
        click.echo(f"try: streamfer dataset check {own} {out}")
        return
    made = make(name, out, fps=fps, subjects=subjects, seed=seed, quirks=not no_quirks)
    click.echo(f"{out}: {made.clips} clips, {made.pictures} pictures, {sum(made.rules.values())} planted quirks")
    click.echo(f"try: streamfer dataset check {made.name} {out}")


def _show(found: Check, rows: bool) -> None:
    click.echo(f"{found.published.title} at {found.dataset.root}")
    click.echo("fps: " + ", ".join(f"{rate:g} ({clips} clips)" for rate, clips in found.fps))
    for count in found.counts:
        click.echo(_line(count))
    if found.emotions:
        click.echo("emotions as written, in one spelling:")
        for count in found.emotions:
            click.echo("  " + _line(count))
    read, unknown, partly = found.aus
    if read or unknown:
        click.echo(f"action units: read in {read} annotations, unknown in {unknown}, something unread in {partly}")
    if not found.rules:
        click.echo("nothing had to be mended")
    for action, rule, number in found.rules:
        click.echo(f"{action} {number:4} x {rule}")
        if rows:
            for remark in found.remarks_of(rule):
                place = f"row {remark.row}" if remark.row is not None else "-"
                click.echo(f"       {remark.table}, {place}: {remark.message}")
    if found.rules and not rows:
        click.echo("(--rows says which)")


def _line(count: Count) -> str:
    text = f"{count.what}: {count.here}"
    if count.published is None:
        return text
    return f"{text}, as published" if not count.differs else f"{text} (published: {count.published})"
