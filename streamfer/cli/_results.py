"""What `streamfer analyze` and `explain` leave on the screen: events on stdout, the outcome on stderr."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from streamfer.records import to_dict
from streamfer.reporting.folder import RUN, Explained, load
from streamfer.runs import Outcome


def print_events(folder: Path) -> None:
    """Events as JSON lines for a program, as readable lines for a person."""
    if not (folder / RUN).exists():
        return
    for explained in load(folder).explained:
        if sys.stdout.isatty():
            click.echo(_line(explained))
        else:
            line = to_dict(explained.event)
            if explained.result is not None:
                line["explanation"] = to_dict(explained.result)
            click.echo(json.dumps(line, ensure_ascii=False))


def print_outcome(outcome: Outcome) -> None:
    if not (outcome.folder / RUN).exists():
        return
    run = load(outcome.folder).run
    events, report = run.get("events", {}), outcome.folder / "report.html"
    click.echo(
        f"{run['source']['name']}: {run['status']}, {run['counts'].get('decoded', 0)} frames, "
        f"{events.get('micro', 0)} micro and {events.get('macro', 0)} macro events, "
        f"{len(run.get('people', []))} people -> {report if report.exists() else outcome.folder}",
        err=True,
    )
    for warning in run.get("warnings", []):
        click.echo(f"  warning: {warning}", err=True)


def _line(explained: Explained) -> str:
    event = explained.event
    aus = " ".join(f"{change.au}{'' if change.side == 'both' else ' ' + change.side}" for change in event.aus[:4])
    label = explained.result.cot.label if explained.result and explained.result.cot else ""
    colour = "magenta" if event.kind == "micro" else "cyan"
    minutes, seconds = divmod(event.apex.time_s, 60)
    return (
        f"{int(minutes):3d}:{seconds:05.2f}  {event.person or '?':4} {click.style(event.kind, fg=colour)}  "
        f"{event.score:.2f}  {label:10}  {aus}"
    )
