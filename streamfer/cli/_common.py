"""What several commands share: the config options, logging and the address of the queue."""

from __future__ import annotations

import functools
import json
import logging
import sys
import time
from collections.abc import Callable
from typing import Any

import click

from streamfer import config as config_module
from streamfer.config import Config


def config_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --config and --set; the function gets them as `config_path` and `assignments`."""

    @click.option("--config", "config_path", type=click.Path(), metavar="FILE", help="YAML file with options.")
    @click.option(
        "--set",
        "assignments",
        multiple=True,
        metavar="KEY=VALUE",
        help="One option, such as faces.max_faces=2. Repeatable.",
    )
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def logging_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --log-format and --verbose and sets logging up before the command runs. Logs go to stderr."""

    @click.option("--log-format", type=click.Choice(["text", "json"]), default="text", help="Form of the log lines.")
    @click.option("-v", "--verbose", is_flag=True, help="Log details too.")
    @functools.wraps(function)
    def wrapper(*args: Any, log_format: str, verbose: bool, **kwargs: Any) -> Any:
        setup_logging(log_format, verbose)
        return function(*args, **kwargs)

    return wrapper


def load_config(
    config_path: str | None, assignments: tuple[str, ...], options: dict[str, Any]
) -> tuple[Config, dict[str, str]]:
    """The config from file, environment, named options (those that are not None) and --set, in rising order."""
    overrides = {key: value for key, value in options.items() if value is not None}
    overrides.update(config_module.parse_assignment(text) for text in assignments)
    return config_module.load(config_path, overrides)


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        line.update(getattr(record, "facts", {}))
        return json.dumps(line, ensure_ascii=False)


def setup_logging(form: str, verbose: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _JsonFormatter() if form == "json" else logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S")
    )
    root = logging.getLogger("streamfer")
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    root.propagate = False
