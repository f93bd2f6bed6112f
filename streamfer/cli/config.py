"""`streamfer config show`: every option with its value, its meaning and where the value comes from."""

from __future__ import annotations

import click

from streamfer import config as config_module
from streamfer.cli._common import config_options, load_config


@click.group()
def command() -> None:
    """Show every option, its value and where it comes from."""


@command.command()
@config_options
def show(config_path: str | None, assignments: tuple[str, ...]) -> None:
    """Print the whole configuration as YAML; redirect it to a file to start your own."""
    config, origin = load_config(config_path, assignments, {})
    shown = config.model_copy(
        update={"queue": config.queue.model_copy(update={"url": config_module.mask(config.queue.url) or None})}
    )
    click.echo(config_module.to_yaml(shown, origin))
