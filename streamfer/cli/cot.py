"""`streamfer cot build KIND`: instruction data for ExpLLM, written by the Exp-CoT Engine. Needs the extra `train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamfer.cli._common import logging_options

if TYPE_CHECKING:
    from streamfer.action_units.model import AUModel
    from streamfer.expllm.engine import Counts

_OUT = click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="The file to write, .jsonl.")
_ENCODER = click.option(
    "--encoder", default="perception", show_default=True, metavar="MODEL", help="What looks at the faces: an ONNX file."
)
_CACHE = click.option("--cache", type=click.Path(path_type=Path), help="Crops and renders.  [default: beside OUT]")
_PICTURES = click.option(
    "--pictures",
    is_flag=True,
    help="Keep the pictures instead of what MODEL saw of them: for `train expllm --size 7b`.",
)
_FILE = click.Path(exists=True, path_type=Path)


@click.group()
def command() -> None:
    """Make and look at instruction data of chains of thought."""


@command.group()
def build() -> None:
    """Evidence -> description -> label from the description -> compared with the truth -> accepted or dropped, counted."""


@build.command()
@click.argument("files", nargs=-1, required=True, type=_FILE)
@click.option(
    "--hold-out",
    default=2000,
    show_default=True,
    help="Photographs that training the encoder kept for choices: left out.",
)
@click.option("--only-held-out", is_flag=True, help="Those alone, all of them.")
@_ENCODER
@_PICTURES
@_CACHE
@_OUT
@logging_options
def fer(
    files: tuple[Path, ...],
    hold_out: int,
    only_held_out: bool,
    encoder: str,
    pictures: bool,
    cache: Path | None,
    out: Path,
) -> None:
    """FER+ photographs (npz with images and votes)."""
    from streamfer.training.expllm_build import build_fer

    _say(
        build_fer(
            files,
            _encoder(encoder),
            cache or out.parent / "cache",
            out,
            hold_out=hold_out,
            only_held_out=only_held_out,
            pictures=pictures,
        )
    )


@build.command()
@click.argument("ict", type=_FILE)
@click.option(
    "--seed", "seeds", multiple=True, default=(11, 12, 13), show_default=True, help="Of the renders. Repeatable."
)
@_ENCODER
@_PICTURES
@_CACHE
@_OUT
@logging_options
def renders(ict: Path, seeds: tuple[int, ...], encoder: str, pictures: bool, cache: Path | None, out: Path) -> None:
    """Onset and apex of ICT-FaceKit people in one view."""
    from streamfer.training.expllm_build import build_renders

    _say(build_renders(ict, seeds, _encoder(encoder), cache or out.parent / "cache", out, pictures=pictures))


@build.command("made-up")
@click.option("--count", default=20_000, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=1, show_default=True)
@_OUT
@logging_options
def made_up(count: int, seed: int, out: Path) -> None:
    """Events without pictures: action units as they go together, and as they do not."""
    from streamfer.training.expllm_build import build_made_up

    _say(build_made_up(count, seed, out))


@build.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@_ENCODER
@_PICTURES
@_OUT
@logging_options
def events(folder: Path, encoder: str, pictures: bool, out: Path) -> None:
    """What `streamfer analyze` found in a clip (its folder of results)."""
    from streamfer.training.expllm_build import build_events

    _say(build_events(folder, _encoder(encoder), out, pictures=pictures))


def _encoder(spec: str) -> AUModel:
    from streamfer.action_units.model import AUModel

    return AUModel.load(spec, device="cpu", threads=1)


def _say(counts: Counts) -> None:
    told: dict[str, Any] = {"texts": counts.taken, "attempts": counts.attempts, "no visible action": counts.no_action}
    for name, value in {**told, **{f"refused, {reason}": n for reason, n in counts.refused.items()}}.items():
        click.echo(f"{value:8d}  {name}")
