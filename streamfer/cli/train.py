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


@command.command()
@click.option("--dataset", "sets", type=(str, click.Path(exists=True, path_type=Path)), multiple=True, required=True,
              metavar="NAME PATH", help="A data set, as `streamfer dataset check` takes it. Repeatable.")  # fmt: skip
@click.option("--cache", default=Path("work_data/micro"), show_default=True, type=click.Path(path_type=Path),
              help="Flows, the answers of each fold (a second run goes on with what is missing) and loso.log.")  # fmt: skip
@click.option("--out", default=Path("micro.onnx"), show_default=True, type=click.Path(path_type=Path))
@click.option("--epochs", default=800, show_default=True, type=click.IntRange(1), help="The same for every fold; none is chosen.")
@click.option("--seed", default=1, show_default=True)
@logging_options
def micro(sets: tuple[tuple[str, Path], ...], cache: Path, out: Path, epochs: int, seed: int) -> None:
    """A recogniser of micro-expressions (STSTNet), leaving one subject out, then on everybody for use.

    docs/recognition.md says how. Use the file with --micro-model FILE.
    """
    from streamfer import datasets
    from streamfer.errors import ExtraMissing

    try:
        from streamfer.training.micro import LOG, MicroTraining, train_micro
    except ImportError as error:
        raise ExtraMissing.of(error.name or "torch", "train", "training") from None
    train_micro(MicroTraining(cache, out, epochs=epochs, seed=seed), [datasets.load(name, path) for name, path in sets])
    click.echo(out)
    click.echo(cache / LOG)
