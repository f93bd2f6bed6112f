"""How `streamfer evaluate` shows a report: the protocol and a table for people, one JSON object for programs."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from streamfer.evaluation.reports import Report


def show(report: Report, as_json: bool) -> None:
    """To stdout."""
    if as_json:
        click.echo(json.dumps(as_dict(report), ensure_ascii=False, indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    console.print(report.protocol, markup=False, soft_wrap=True)
    if report.threshold:
        console.print(f"Threshold: {report.threshold}", markup=False, soft_wrap=True)
    console.print(", ".join(f"{value} {name}" for name, value in report.counts.items()), markup=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("", "measure"):
        table.add_column(name, no_wrap=True)
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("95 % interval", justify="right", no_wrap=True)
    table.add_column("of", overflow="fold")
    last = None
    for row in report.rows:
        interval = "-" if math.isnan(row.low) else f"{_number(row.low)} - {_number(row.high)}"
        table.add_row(row.group if row.group != last else "", row.measure, _number(row.value), interval, row.of)
        last = row.group
    if report.rows:
        console.print(table)
    if report.confusion:
        console.print(_confusion(report))
    for note in report.notes:
        console.print(f"note: {note}", markup=False, soft_wrap=True)


def as_dict(report: Report) -> dict[str, Any]:
    """Plain JSON types; what is undefined is null."""
    return {
        "protocol": report.protocol,
        "threshold": report.threshold or None,
        "counts": report.counts,
        "scores": [
            {
                "group": row.group, "measure": row.measure, "value": _known(row.value),
                "low": _known(row.low), "high": _known(row.high), "of": row.of,
            }
            for row in report.rows
        ],
        "notes": list(report.notes),
        "classes": list(report.classes),
        "confusion": [list(row) for row in report.confusion],
    }  # fmt: skip


def _confusion(report: Report) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("true \\ given", no_wrap=True)
    for name in (*report.classes, "no answer"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, counts in zip(report.classes, report.confusion, strict=True):
        table.add_row(name, *(str(count) for count in counts))
    return table


def _number(value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.1f}"


def _known(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 6)
