"""`run_dataset`: every clip of a data set into its own output folder, whichever engine does the work.

A clip that an earlier run finished is left as it is, a clip that fails does not stop the others, and at the end, also
after an interruption, there are two tables (table.py). What would fail for every clip alike (an unknown format, a model
that is not there) is found before the first one.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from streamfer.batch.clip import ClipEnd, ClipJob, clip_folder, finished
from streamfer.batch.table import write_tables
from streamfer.config import Config
from streamfer.errors import EXIT_DONE, EXIT_INTERRUPTED, NoVideo, UsageError
from streamfer.reporting.folder import RUN

if TYPE_CHECKING:
    from streamfer.datasets.records import Dataset
    from streamfer.output import What

log = logging.getLogger(__name__)

Engine = Literal["processes", "redis", "ray"]


def run_dataset(
    dataset: Dataset,
    config: Config,
    *,
    engine: Engine = "processes",
    processes: int | None = None,
    address: str = "auto",
    what: What = "new",
    command: str = "",
    ended: Callable[[ClipEnd], None] | None = None,
) -> list[ClipEnd]:
    """Analyse every clip into `config.output.folder`/<clip name>/ and write dataset.csv and events.csv there.

    Returns the endings in the order of the clips; those that an interruption kept from being started are left out. `ended`
    is called for each as it comes. `processes` is for this machine or for Ray, `address` for Ray, `config.queue.url` for
    Redis. Raises UsageError, ModelError or QueueError for what concerns all clips.
    """
    jobs = [ClipJob.of(clip) for clip in dataset.clips]
    _check(dataset, jobs, config, what)
    ends: dict[str, ClipEnd] = {}

    def took(end: ClipEnd) -> None:
        ends[end.job.name] = end
        if ended is not None:
            ended(end)

    waiting = []
    for job in jobs:
        end = finished(job, config) if what == "resume" else None
        if end is None:
            waiting.append(job)
        else:
            took(end)
    try:
        for end in _ends(waiting, config, engine, processes, address, what, command):
            took(end)
    finally:
        write_tables(jobs, ends, config)
    return [ends[job.name] for job in jobs if job.name in ends]


def exit_code(ends: Sequence[ClipEnd], clips: int) -> int:
    """130 when interrupted, else the first code, in the order of the clips, that is not 0."""
    codes = [end.exit_code for end in ends]
    if EXIT_INTERRUPTED in codes or (len(ends) < clips and not any(end.fatal for end in ends)):
        return EXIT_INTERRUPTED
    return next((code for code in codes if code), EXIT_DONE)


def _ends(
    jobs: Sequence[ClipJob], config: Config, engine: Engine, processes: int | None, address: str, what: What, command: str
) -> Iterator[ClipEnd]:
    if not jobs:
        return iter(())
    if engine == "redis":
        from streamfer.batch.over_redis import over_redis

        return over_redis(jobs, config, what=what)
    if engine == "ray":
        from streamfer.batch.over_ray import over_ray

        return over_ray(jobs, config, what=what, processes=processes, address=address, command=command)
    from streamfer.batch.processes import over_processes

    return over_processes(jobs, config, what=what, processes=processes, command=command)


def _check(dataset: Dataset, jobs: Sequence[ClipJob], config: Config, what: What) -> None:
    """What concerns all clips, before the first one is begun."""
    from streamfer.runs import load_expression, load_model, load_recogniser

    if not jobs:
        raise NoVideo(f"{dataset.root}: no clips of {dataset.name} in it; `streamfer dataset check` says what was found")
    twice = [name for name, count in Counter(job.name for job in jobs).items() if count > 1]
    if twice:
        raise UsageError(f"{dataset.root}: {len(twice)} clips share a name, such as {twice[0]}: each needs a folder of its own")
    if config.output.signals not in (None, "auto"):
        raise UsageError("--signals FILE would be one file for all clips: write --signals auto")
    load_expression(config, load_model(config))
    load_recogniser(config)
    if what == "new":
        there = [job.name for job in jobs if (clip_folder(job, config) / RUN).exists()]
        if there:
            raise UsageError(
                f"{Path(config.output.folder)} holds results of {len(there)} of {len(jobs)} clips already: --resume does the "
                "rest, --overwrite starts again"
            )
