"""`streamfer train landmarks`: train the bundled landmark AU model again. Needs the extra `train`."""

from __future__ import annotations

from pathlib import Path

import click

from streamfer.cli._common import logging_options


@click.group()
def command() -> None:
    """Train the bundled models again."""


@command.command()
@click.option("--ict", required=True, type=click.Path(exists=True, path_type=Path), help="ICT-FaceKit as npz.")
@click.option("--task", required=True, type=click.Path(exists=True, path_type=Path), help="MediaPipe's face_landmarker.task.")
@click.option("--clip", "clips", multiple=True, type=click.Path(exists=True, path_type=Path), help="A real video. Repeatable.")
@click.option("--fer", type=click.Path(exists=True, path_type=Path), help="FER+ as npz (images, votes).")
@click.option("--cache", default=Path("work_data/landmark_au"), show_default=True, type=click.Path(path_type=Path))
@click.option("--out", default=Path("au_landmarks.onnx"), show_default=True, type=click.Path(path_type=Path))
@click.option("--epochs", default=40, show_default=True)
@logging_options
def landmarks(
    ict: Path, task: Path, clips: tuple[Path, ...], fer: Path | None, cache: Path, out: Path, epochs: int
) -> None:
    """AU intensities from landmarks: renders of ICT-FaceKit, and real faces with MediaPipe's blendshapes as teacher.

    docs/au-model.md says how; streamfer/models/au_landmarks.md what came out. Use the file with --au-model FILE.
    """
    from streamfer.errors import ExtraMissing

    try:
        from streamfer.training.landmark_au import LandmarkTraining, train
    except ImportError as error:
        raise ExtraMissing.of(error.name or "torch", "train", "training") from None
    train(LandmarkTraining(ict=ict, task=task, cache=cache, out=out, clips=clips, fer=fer, epochs=epochs))
    click.echo(out)
