"""`streamfer worker expllm` and `streamfer worker screen`: the processes of workers/ as commands."""

from __future__ import annotations

import click


class _Workers(click.Group):
    """Each worker's own command, imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return ["expllm", "screen"]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(ctx):
            return None
        import importlib

        from streamfer.cli._common import setup_logging

        setup_logging("text", verbose=False)
        command = importlib.import_module(f"workers.{name}").main
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Workers"):
            formatter.write_dl(
                [
                    ("expllm", "Write explanations: takes key moments, gives chains of thought."),
                    ("screen", "Analyse videos: takes what `streamfer analyze --enqueue` put."),
                ]
            )


@click.command(cls=_Workers)
def command() -> None:
    """Run a worker that takes jobs from Redis; as many as you like, on any machine. See workers/README.md."""
