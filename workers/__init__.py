"""The processes you deploy. Main loops; what they share is in streamfer/jobs/worker.py. How to run them: README.md."""

from __future__ import annotations

import logging
from typing import NoReturn

import click

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
