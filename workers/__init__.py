"""The processes you deploy. Main loops; what they share is in streamfer/jobs/worker.py. How to run them: README.md."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click

os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # a worker needs none, and looking for them takes 30 ms of its start

from streamfer.errors import EXIT_INTERRUPTED, StreamferError


def entry(command: click.Command) -> NoReturn:
    """Run a worker's command: logging to stderr, streamfer's errors as one sentence and their exit code."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    try:
        code = command.main(standalone_mode=False)
    except StreamferError as error:
        click.echo(f"streamfer: {error}", err=True)
        code = error.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except click.Abort:
        code = EXIT_INTERRUPTED
    raise SystemExit(code)


def worker_options(health: str) -> Callable[[Any], Any]:
    """The options of a worker that takes jobs; `health` says when its health file is touched."""
    options = (
        click.option("--redis", "url", metavar="URL", help="The queue (default: queue.url of the config)."),
        click.option("--config", "config_path", type=click.Path(), metavar="FILE", help="YAML file with options."),
        click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="One option. Repeatable."),
        click.option("--once", is_flag=True, help="Stop when the queue is empty."),
        click.option("--with-parent", is_flag=True, help="Leave when the process that started this one is gone."),
        click.option("--health", type=click.Path(path_type=Path), metavar="FILE", help=f"File touched at each {health}."),
    )

    def decorate(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate
