"""`streamfer export OUT --to FORMAT`: more formats from an analysed folder, without analysing again."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--to", "formats", required=True, metavar="LIST", help="csv, eaf, vtt, srt, textgrid, parquet, html, overlay."
)
def command(folder: Path, formats: str) -> None:
    """Write more formats from an analysed folder, or from all folders in it; prints the files."""
    from streamfer.output import translated
    from streamfer.reporting import write_formats
    from streamfer.reporting.folder import find_folders

    for out in find_folders(folder):
        with translated(out):
            for path in write_formats(out, formats.replace(" ", "").split(",")):
                click.echo(path)
