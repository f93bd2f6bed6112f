"""The command line. One file per command; a command's module is imported only when it is called.

`main` is the entry point: it turns every StreamferError into one sentence on stderr and its exit code.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from streamfer import __version__

_COMMANDS = {
    "analyze": "Analyse videos, folders of frames or whole folders of videos.",
    "explain": "Write the explanations that an analysed folder still lacks.",
    "export": "Write more formats from an analysed folder.",
    "worker": "Run a worker that takes jobs from Redis.",
    "status": "Show the queues: waiting, in work, dead, workers.",
    "dead": "List jobs that failed for good, or try them again.",
    "doctor": "Check this machine and name every automatic choice.",
    "config": "Show every option, its value and where it comes from.",
    "dataset": "Check a micro-expression data set, or make an imitation of one.",
    "evaluate": "Score what was found in a data set by the field's protocols.",
    "train": "Train the bundled models again.",
    "cot": "Make instruction data of chains of thought.",
}


class _LazyGroup(click.Group):
    """Knows its commands by name; imports `streamfer.cli.<name>` on use, so that --help is fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        command = importlib.import_module(f"streamfer.cli.{name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            import difflib

            near = difflib.get_close_matches(args[0], _COMMANDS, n=1, cutoff=0.5)
            if near:
                ctx.fail(f"no command '{args[0]}'; did you mean '{near[0]}'?")
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.command(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 2 usage, 3 source unreadable, 4 source damaged part-way, 5 model or provider missing, "
    "6 queue unreachable, 7 some explanations failed, 130 interrupted (go on with --resume).",
)
@click.version_option(__version__, prog_name="streamfer")
def cli() -> None:
    """Video of faces in, a timeline of facial action out that can be checked."""


def main(args: list[str] | None = None) -> Any:
    from streamfer.errors import EXIT_INTERRUPTED, StreamferError

    try:
        code = cli.main(args=args, prog_name="streamfer", standalone_mode=False)
    except StreamferError as error:
        click.echo(f"streamfer: {error}", err=True)
        code = error.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("streamfer: interrupted", err=True)
        code = EXIT_INTERRUPTED
    except BrokenPipeError:  # `streamfer analyze … | head`: the reader has gone, which is its right
        sys.stderr.close()
        code = 0
    sys.exit(code if isinstance(code, int) else 0)
