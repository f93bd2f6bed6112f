"""`streamfer dead list` and `streamfer dead retry`: jobs that failed for good."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import Any

import click

from streamfer.cli._common import load_config


def _queue_options(function: Any) -> Any:
    function = click.option("--redis", "redis_url", metavar="URL", help="The server.")(function)
    return click.option("--topic", type=click.Choice(["explain", "video"]), default="explain", show_default=True)(
        function
    )


@click.group()
def command() -> None:
    """List jobs that failed for good, or try them again."""


@command.command("list")
@_queue_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line, with the whole job.")
def list_dead(redis_url: str | None, topic: Any, as_json: bool) -> None:
    """Show each dead job with its reason."""
    letters = _open(redis_url, topic).dead()
    for letter in letters:
        if as_json:
            click.echo(json.dumps(asdict(letter)))
        else:
            died = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(letter.died_unix_s))
            click.echo(f"{letter.id}  {died}  {letter.deliveries} tries  {letter.reason.splitlines()[-1]}")
    if not letters:
        click.echo("no dead jobs", err=True)


@command.command()
@_queue_options
@click.argument("ids", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All of them.")
def retry(redis_url: str | None, topic: Any, ids: tuple[str, ...], everything: bool) -> int:
    """Put dead jobs back into the queue."""
    from streamfer.errors import EXIT_DONE, EXIT_FAILED, UsageError

    if everything == bool(ids):
        raise UsageError("name the jobs to try again, or give --all")
    back, lost = _open(redis_url, topic).retry_dead(None if everything else ids)
    click.echo(f"{len(back)} back in the queue", err=True)
    unknown = set(ids) - set(back) - set(lost)
    for job_id in lost:
        click.echo(f"{job_id}: its pictures are forgotten; run `streamfer explain OUT` instead", err=True)
    for job_id in sorted(unknown):
        click.echo(f"{job_id}: no dead job of that id", err=True)
    return EXIT_FAILED if lost or unknown else EXIT_DONE


def _open(redis_url: str | None, topic: Any) -> Any:
    from streamfer.jobs.queue import open_queue

    config, _ = load_config(None, (), {"queue.url": redis_url})
    return open_queue(config.queue, topic)
