"""`streamfer analyze --dataset NAME PATH`: progress of many clips on stderr, the paths of the two tables on stdout."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streamfer.errors import UsageError

if TYPE_CHECKING:
    from streamfer.batch import ClipEnd, Engine
    from streamfer.config import Config
    from streamfer.output import What

log = logging.getLogger("streamfer.batch")


def analyze_dataset(
    name: str, sources: Sequence[str], config: Config, what: What, *, engine: Engine | None, processes: int | None,
    address: str | None, quiet: bool,
) -> int:  # fmt: skip
    from streamfer import datasets
    from streamfer.batch import run_dataset
    from streamfer.batch.run import exit_code
    from streamfer.batch.table import DATASET, EVENTS

    if len(sources) != 1:
        raise UsageError(f"--dataset {name}: give the one folder that holds it, not {len(sources)} sources")
    if address is not None and engine != "ray":
        raise UsageError("--address is Ray's: give --engine ray too")
    if engine == "redis" and processes is not None:
        raise UsageError("--processes is for this machine: with --engine redis start as many workers as you like")
    dataset = datasets.load(name, Path(sources[0]))
    progress = BatchProgress(len(dataset.clips), show=not quiet)
    ends = run_dataset(
        dataset, config, engine=engine or "processes", processes=processes, address=address or "auto", what=what,
        command=" ".join(["streamfer", *sys.argv[1:]]), ended=progress.clip,
    )  # fmt: skip
    progress.close()
    code = exit_code(ends, len(dataset.clips))
    done = sum(end.exit_code == 0 for end in ends)
    log.info("%d of %d clips done, %d of them before; exit code %d", done, len(dataset.clips),
             sum(end.skipped for end in ends), code)  # fmt: skip
    for end in [end for end in ends if end.exit_code][:10]:
        log.info("  %s: code %d, %s", end.job.name, end.exit_code, end.message)
    for table in (DATASET, EVENTS):
        click.echo(Path(config.output.folder) / table)
    return code


class BatchProgress:
    """One line per clip, with how many are left and about how long they take."""

    def __init__(self, clips: int, show: bool) -> None:
        self._clips, self._show = clips, show
        self._ended = self._worked = 0
        self._started = time.monotonic()

    def clip(self, end: ClipEnd) -> None:
        self._ended += 1
        if end.skipped:
            return
        self._worked += 1
        if not self._show:
            return
        left = self._clips - self._ended
        about_s = (time.monotonic() - self._started) / self._worked * left
        how = f"{end.seconds:.1f} s" if end.exit_code == 0 else f"code {end.exit_code}: {end.message}"
        log.info(
            "%d/%d %s: %s%s", self._ended, self._clips, end.job.name, how, f", about {_time(about_s)} left" if left else "",
            extra={"facts": {"clip": end.job.name, "exit_code": end.exit_code, "seconds": round(end.seconds, 2), "left": left}},
        )  # fmt: skip

    def close(self) -> None:
        if self._show and self._ended > self._worked:
            log.info("%d clips were done before and are left as they are", self._ended - self._worked)


def _time(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min" if minutes else f"{seconds:.0f} s"
