"""`streamfer status`: what is in the queues of a server, without any metrics system."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import Any

import click

from streamfer.cli._common import config_options, load_config
from streamfer.jobs.interface import QueueStatus, Topic

_TOPICS: tuple[Topic, ...] = ("explain", "video")


@click.command()
@click.option(
    "--redis", "redis_url", metavar="URL", help="The server (default: queue.url, else redis://localhost:6379/0)."
)
@click.option("--watch", "every_s", type=float, metavar="SECONDS", help="Show again every so many seconds.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per queue and line.")
@config_options
def command(
    redis_url: str | None, every_s: float | None, as_json: bool, config_path: str | None, assignments: tuple[str, ...]
) -> None:
    """Show the queues: waiting, in work, dead, workers."""
    from streamfer.jobs.queue import open_queue

    config, _ = load_config(config_path, assignments, {"queue.url": redis_url})
    queues = [open_queue(config.queue, topic) for topic in _TOPICS]
    while True:
        statuses = {queue.topic: queue.status() for queue in queues}
        if as_json:
            for topic, status in statuses.items():
                click.echo(json.dumps({"topic": topic, **asdict(status)}))
        else:
            _table(statuses)
        if every_s is None:
            return
        time.sleep(every_s)


def _table(statuses: dict[Topic, QueueStatus]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(
        "queue", *(("waiting", "in work", "oldest", "dead", "results", "workers")), box=None, header_style="bold"
    )
    for topic, status in statuses.items():
        numbers: list[Any] = [
            status.waiting,
            status.pending,
            f"{status.oldest_s:.0f} s",
            status.dead,
            status.results,
            len(status.consumers),
        ]
        table.add_row(topic, *(str(number) for number in numbers))
    console.print(table)
    for topic, status in statuses.items():
        for consumer in status.consumers:
            console.print(
                f"  {topic} worker {consumer.name}: {consumer.pending} in hand, last heard {consumer.idle_s:.0f} s ago"
            )
    memory = next(iter(statuses.values()))
    limit = f" of {memory.memory_limit_bytes / 2**20:.0f}" if memory.memory_limit_bytes else ", no limit set"
    console.print(f"memory of the server: {memory.memory_bytes / 2**20:.0f} MB{limit}")
