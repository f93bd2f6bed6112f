"""`streamfer analyze`: videos in, output folders out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamfer.cli._common import config_options, load_config, logging_options

if TYPE_CHECKING:
    from streamfer.config import Config
    from streamfer.output import What


@click.command(
    epilog="SOURCES are video files, globs, folders of videos, or folders of frames (with --fps). Results go to "
    "FOLDER/<source name>/; events are printed to stdout as JSON lines when it is not a terminal."
)
@click.argument("sources", nargs=-1, required=True)
@click.option("-o", "--output", metavar="FOLDER", help="Where results go (default: out).")
@click.option("--fps", type=float, help="Frame rate of a folder of frames.")
@click.option("--start", "start_s", type=float, metavar="SECONDS", help="Skip everything before.")
@click.option("--end", "end_s", type=float, metavar="SECONDS", help="Stop here.")
@click.option("--reader", type=click.Choice(["av", "decord"]), help="Decoder of files.")
@click.option("--max-faces", type=int, help="Faces followed at once.")
@click.option("--dataset", metavar="NAME", help="SOURCES is one data set of this layout: all its clips, then one table.")
@click.option("--engine", type=click.Choice(["processes", "redis", "ray"]), help="Who analyses the clips of a data set.")
@click.option("--processes", type=click.IntRange(1), help="Clips at once (default: one per core).")
@click.option("--address", metavar="auto|local|ADDRESS", help="The Ray cluster (default: auto).")
@click.option("--same-people", is_flag=True, help="One set of people for all sources of this run.")
@click.option("--au-model", metavar="MODEL", help="'landmarks', 'perception' or an ONNX file.")
@click.option("--expression-model", metavar="MODEL", help="Reads whole faces at key moments: 'perception', an ONNX file, or none.")
@click.option("--micro-model", metavar="FILE", help="ONNX file of a recogniser that labels micro events.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Where the AU model runs.")
@click.option(
    "--neutral", multiple=True, metavar="P1=0:10-0:20", help="A segment in which a person is neutral. Repeatable."
)
@click.option("--min-score", type=float, help="Events below this score (0-1) are not reported.")
@click.option("--max-events-per-minute", type=float, help="Keep only the best events.")
@click.option(
    "--backend", type=click.Choice(["auto", "nano", "composer", "openai", "transformers", "none"]), help="Who writes the explanations."
)
@click.option("--redis", "redis_url", metavar="URL", help="Explain by the workers at this server.")
@click.option(
    "--enqueue", is_flag=True, help="Do not analyse here: put one job per source for `streamfer worker screen`."
)
@click.option("--to", "formats", metavar="LIST", help="Formats, such as csv,eaf,vtt,srt,textgrid,parquet,html,overlay.")
@click.option("--signals", metavar="FILE", help="Write every stage's signal to a Parquet file ('auto': in the output).")
@click.option("--resume", is_flag=True, help="Go on where an earlier run of the same command stopped.")
@click.option("--overwrite", is_flag=True, help="Replace earlier results.")
@click.option("--quiet", is_flag=True, help="No progress.")
@config_options
@logging_options
def command(
    sources: tuple[str, ...],
    config_path: str | None,
    assignments: tuple[str, ...],
    neutral: tuple[str, ...],
    formats: str | None,
    enqueue: bool,
    resume: bool,
    overwrite: bool,
    same_people: bool,
    quiet: bool,
    **options: Any,
) -> int:
    """Analyse videos: faces, action units, micro- and macro-expressions, explanations."""
    from streamfer.errors import UsageError

    if resume and overwrite:
        raise UsageError("--resume goes on and --overwrite starts again: give one of them")
    config, _ = load_config(
        config_path,
        assignments,
        {
            "output.folder": options["output"],
            "output.formats": formats.replace(" ", "").split(",") if formats else None,
            "output.signals": options["signals"],
            "video.fps": options["fps"],
            "video.start_s": options["start_s"],
            "video.end_s": options["end_s"],
            "video.reader": options["reader"],
            "faces.max_faces": options["max_faces"],
            "action_units.model": options["au_model"],
            "action_units.device": options["device"],
            "expression.model": options["expression_model"],
            "expression.micro_model": options["micro_model"],
            "action_units.neutral": _neutral(neutral),
            "screening.min_score": options["min_score"],
            "screening.max_events_per_minute": options["max_events_per_minute"],
            "explain.backend": options["backend"],
            "queue.url": options["redis_url"],
        },
    )
    what: What = "overwrite" if overwrite else "resume" if resume else "new"
    if options["dataset"] is not None:
        from streamfer.cli._batch import analyze_dataset

        if enqueue or same_people or options["fps"] is not None:
            raise UsageError("--dataset does not go with --enqueue (--engine redis), --same-people or --fps (it knows its own)")
        batch = {name: options[name] for name in ("engine", "processes", "address")}
        return analyze_dataset(options["dataset"], sources, config, what, quiet=quiet, **batch)
    unused = [name for name in ("engine", "processes", "address") if options[name] is not None]
    if unused:
        raise UsageError(f"--{unused[0]} is for the clips of a data set: give --dataset NAME")
    from streamfer.video import expand

    paths = expand(sources)
    if enqueue:
        return _enqueue(paths, config)

    from streamfer.cli._progress import progress_for
    from streamfer.runs import analyze_all, exit_code

    outcomes = analyze_all(
        paths,
        config,
        what=what,
        same_people=same_people,
        progress=progress_for(not quiet),
        command=" ".join(["streamfer", *sys.argv[1:]]),
    )
    from streamfer.cli._results import print_events, print_outcome

    for outcome in outcomes:
        print_events(outcome.folder)
        print_outcome(outcome)
    return exit_code(outcomes)


def _neutral(segments: tuple[str, ...]) -> dict[str, str] | None:
    from streamfer.errors import UsageError

    stated = {}
    for text in segments:
        person, equals, span = text.partition("=")
        if not equals or not person or "-" not in span:
            raise UsageError(f"--neutral {text}: write it as PERSON=START-END, such as P1=0:10-0:20")
        stated[person.strip()] = span.strip()
    return stated or None


def _enqueue(paths: list[Path], config: Config) -> int:
    """One job per source. Paths are made absolute: workers see the same shared storage."""
    from streamfer.config import changes
    from streamfer.errors import UsageError
    from streamfer.jobs.queue import open_queue
    from workers.enqueue import submit, video_job

    if config.queue.url is None:
        raise UsageError(
            "--enqueue needs --redis URL: the server from which `streamfer worker screen` takes the videos"
        )
    queue = open_queue(config.queue, "video")
    output = str(Path(config.output.folder).resolve())
    options = {
        key: value for key, value in changes(config).items() if not key.startswith("queue.") and key != "output.folder"
    }  # the queue is the worker's own, the folder travels separately
    replies = [submit(queue, video_job(str(path.resolve()), output, options)) for path in paths]
    click.echo(f"{replies.count('queued')} videos queued, {replies.count('duplicate')} were queued before", err=True)
    return 0
