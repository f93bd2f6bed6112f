"""`streamfer evaluate PROTOCOL`: the field's scores of what `streamfer analyze --dataset` found, with intervals.

Each command prints its protocol in one line, how the score threshold was chosen, how many clips and subjects, and
every score with its 95 % interval. Results go to stdout.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from streamfer.evaluation.outputs import Compared
    from streamfer.evaluation.thresholds import Thresholds

_PATH = click.Path(path_type=Path)
_DATASET = click.option(
    "--dataset", nargs=2, required=True, metavar="NAME PATH", help="The data set, as for `streamfer analyze --dataset`."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
_PARTIAL = click.option("--partial", is_flag=True, help="Score the clips that are analysed, name the others.")


def _spotting_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Output folder, data set, overlap and score threshold."""

    @click.argument("out", type=_PATH)
    @_DATASET
    @click.option("--iou", default=0.5, show_default=True, help="Least overlap of a hit.")
    @click.option(
        "--iou-mode",
        type=click.Choice(["inclusive", "exclusive", "loose"]),
        default="inclusive",
        show_default=True,
        help="How overlap is counted; the others are published errors (docs/protocols.md).",
    )
    @click.option("--min-score", default=0.0, show_default=True, help="Count events from this score on.")
    @click.option(
        "--choose-score", is_flag=True, help="Choose it instead by leave-one-subject-out, on the other subjects only."
    )
    @_PARTIAL
    @_JSON
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper  # fmt: skip


@click.group()
def command() -> None:
    """Score what was found in a data set by the field's protocols (docs/protocols.md)."""


@command.command()
@_spotting_options
@click.option(
    "--csv", "csv_path", type=_PATH, help="Write the challenge's submission: vid,pred_onset,pred_offset,type."
)
@click.option("--log", "log_path", type=_PATH, help="Write the MEGC 2019 log: one line per TP, FP and FN.")
def spotting(
    out: Path, dataset: tuple[str, str], iou: float, iou_mode: Any, min_score: float, choose_score: bool, partial: bool,
    as_json: bool, csv_path: Path | None, log_path: Path | None,
) -> None:  # fmt: skip
    """Precision, recall and F1 of micro, macro and both (MEGC). OUT is a folder of results or a submission CSV."""
    from streamfer.cli._scores import show
    from streamfer.evaluation import reports
    from streamfer.evaluation.submission import log_lines, write_csv

    compared = _compared(dataset, out, partial, submission=True)
    thresholds = _thresholds(compared, min_score, choose_score, iou, iou_mode)
    report, result = reports.spotting(compared, thresholds, iou, iou_mode)
    if csv_path is not None:
        write_csv(csv_path, thresholds.apply(compared).predictions)
    if log_path is not None:
        log_path.write_text("".join(line + "\n" for line in log_lines(result)), encoding="utf-8")
    show(report, as_json)


@command.command()
@_spotting_options
@click.option(
    "--classes", type=click.Choice(["3", "5", "8"]), default="3", show_default=True, help="Scheme of emotions."
)
@click.option("--official", is_flag=True, help="Count as the published script does, its errors included.")
def strs(
    out: Path, dataset: tuple[str, str], iou: float, iou_mode: Any, min_score: float, choose_score: bool, partial: bool,
    as_json: bool, classes: str, official: bool,
) -> None:  # fmt: skip
    """Spot, then recognise: F1 of spotting times F1 of the classes of what was spotted."""
    from streamfer.cli._scores import show
    from streamfer.evaluation import labels, reports

    compared = _compared(dataset, out, partial)
    thresholds = _thresholds(compared, min_score, choose_score, iou, iou_mode)
    scheme = int(classes)
    truth, given = labels.truth_class(compared.dataset, scheme), labels.given_class(scheme, compared.dataset)
    show(reports.spot_then_recognise(compared, thresholds, iou, iou_mode, truth, given, official), as_json)


@command.command()
@_spotting_options
def apex(
    out: Path, dataset: tuple[str, str], iou: float, iou_mode: Any, min_score: float, choose_score: bool, partial: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Error of the apex in frames and ms, its success rate, and AP over IoU .50 to .95."""
    from streamfer.cli._scores import show
    from streamfer.evaluation import reports

    compared = _compared(dataset, out, partial)
    show(reports.apex(compared, _thresholds(compared, min_score, choose_score, iou, iou_mode), iou, iou_mode), as_json)


@command.command()
@click.argument("sources", nargs=-1, required=True, type=_PATH)
@click.option(
    "--dataset",
    "datasets",
    nargs=2,
    multiple=True,
    metavar="NAME PATH",
    help="The data set of each OUT, in their order. Without, the sources are logs.",
)
@click.option("--list", "list_path", type=_PATH, help="The challenge's list of clips (combined_3class_gt.csv).")
@click.option("--log", "log_path", type=_PATH, help="Write the challenge's log.")
@_PARTIAL
@_JSON
def recognition(
    sources: tuple[Path, ...], datasets: tuple[tuple[str, str], ...], list_path: Path | None, log_path: Path | None,
    partial: bool, as_json: bool,
) -> None:  # fmt: skip
    """UF1 and UAR of the MEGC 2019 composite (CASME II, SMIC, SAMM), from logs of a recogniser or folders of results."""
    from streamfer.cli._scores import show
    from streamfer.errors import UsageError
    from streamfer.evaluation import labels, reports
    from streamfer.evaluation.recognition import read_list, read_log, write_log

    if datasets and len(datasets) != len(sources):
        raise UsageError(
            f"{len(sources)} folders of results and {len(datasets)} --dataset: give one for each, in order"
        )
    if datasets:
        compared = [_compared(name, out, partial) for name, out in zip(datasets, sources, strict=True)]
        answers = labels.composite_answers(compared, read_list(list_path) if list_path else None)
        what = "class of each clip's best micro event (spotted, not given onset and apex)"
    else:
        answers = [answer for path in sources for answer in read_log(path)]
        what = "from logs"
    if log_path is not None:
        write_log(log_path, answers)
    show(reports.composite(answers, what), as_json)


def _still_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Which of a data set's single faces are scored."""

    @click.option("--split", help="Part of a data set of single faces: train, valid, test or all.")
    @click.option("--fold", type=click.IntRange(1, 3), help="Only the people tested in this fold (DISFA, BP4D).")
    @click.option(
        "--step", default=1, show_default=True, type=click.IntRange(1), help="Score one single face of so many."
    )
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper  # fmt: skip


@command.command()
@click.argument("out", type=_PATH, required=False)
@_DATASET
@click.option(
    "--model", type=_PATH, help="ONNX file, or 'landmarks', 'perception', for frames of DISFA, BP4D, FEAFA+."
)
@_still_options
@click.option(
    "--threshold", type=float, help="Intensity from which on an AU is present.  [default: 0.5; DISFA, FEAFA+ 2, BP4D 1]"
)
@click.option(
    "--from",
    "source",
    type=click.Choice(["events", "frames"]),
    default="events",
    show_default=True,
    help="Intensities of overlapping events, or the highest in faces.csv.",
)
@click.option("--cd6me", is_flag=True, help="The 12 AUs of CD6ME instead of all that the annotations name.")
@_PARTIAL
@_JSON
def aus(
    out: Path | None, dataset: tuple[str, str], model: Path | None, split: str | None, fold: int | None, step: int,
    threshold: float | None, source: str, cd6me: bool, partial: bool, as_json: bool,
) -> None:  # fmt: skip
    """F1 and AUC per action unit; ICC, PCC, MAE, MSE where the coders wrote intensities.

    OUT is a folder of results. Frames coded one by one (--dataset disfa, bp4d or feafa) need --model and no OUT.
    """
    from streamfer.cli._scores import show
    from streamfer.datasets import stills
    from streamfer.errors import UsageError
    from streamfer.evaluation import labels, reports
    from streamfer.evaluation.aus import CD6ME_AUS, PRESENT

    if stills.known(dataset[0]):
        if out is not None or model is None:
            raise UsageError(
                f"{dataset[0]} has single frames: give --model FILE.onnx (or landmarks) and no folder of results"
            )
        from streamfer.evaluation import stills as scores

        found = stills.load(*dataset)
        rows = found.part(split, fold, step)
        show(scores.action_units(found, rows, _au_model(model), threshold, _part(split, fold, step)), as_json)
        return
    if out is None:
        raise UsageError(f"{dataset[0]} has clips: give the folder of results that `streamfer analyze --dataset` wrote")
    threshold = PRESENT if threshold is None else threshold
    compared = _compared(dataset, out, partial)
    table, notes = labels.au_table(compared, CD6ME_AUS if cd6me else None, frames=source == "frames")
    what = "the events that overlap it" if source == "events" else "the highest AUxx_r of its frames"
    show(reports.action_units(compared, table, threshold, what, notes), as_json)


@command.command()
@click.argument("source", type=_PATH)
@click.option(
    "--dataset", nargs=2, metavar="NAME PATH", help="Ask about the clips of a data set, with its annotations."
)
@click.option("--questions", "questions_path", type=_PATH, help="The challenge's questions, a jsonl file.")
@click.option("--long", "long_videos", is_flag=True, help="With --dataset: the questions about long videos (ME-LVQA).")
@click.option("--answers", "answers_path", type=_PATH, help="Write the submission.")
@_PARTIAL
@_JSON
def vqa(
    source: Path, dataset: tuple[str, str] | None, questions_path: Path | None, long_videos: bool,
    answers_path: Path | None, partial: bool, as_json: bool,
) -> None:  # fmt: skip
    """Answer ME-VQA and ME-LVQA questions from results, and score answers where they are known.

    SOURCE is a folder of results, or a submission (jsonl) to be scored against --questions.
    """
    from streamfer.cli._scores import show
    from streamfer.evaluation import labels, reports
    from streamfer.evaluation.vqa import write_answers

    asked, answers, notes = labels.questions_and_answers(
        source, _load(dataset) if dataset else None, questions_path, long_videos, partial
    )
    if answers_path is not None:
        write_answers(answers_path, [(question, answers[question.id]) for question in asked])
    scores, counts = labels.vqa_scores(asked, answers)
    show(reports.questions(scores, counts, f"answers of {source}", notes), as_json)


@command.command()
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--dataset", nargs=2, metavar="NAME PATH", help="RAF-DB, AffectNet or FER+ as distributed, instead of FILE."
)
@_still_options
@click.option(
    "--model", default="perception", show_default=True, type=_PATH, help="'perception' or an ONNX file with an expression."
)
@click.option("--mirror/--no-mirror", default=True, show_default=True,
              help="With the mirror image, as key moments are read, or alone, as frames are.")  # fmt: skip
@_JSON
def fer(
    file: Path | None, dataset: tuple[str, str] | None, split: str | None, fold: int | None, step: int, model: Path, mirror: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Expression of single faces against FER+'s votes. FILE is an npz with images (N, 48, 48) and votes (N, 10).

    With --dataset (rafdb, affectnet7, affectnet8, ferplus) the part that papers report: test, of AffectNet valid.
    A face whose landmarks are not found is read from its crop alone; none is left out for that.
    """
    from streamfer.errors import UsageError
    from streamfer.evaluation import photographs

    if (file is None) == (dataset is None):
        raise UsageError("give either an npz or --dataset NAME PATH")
    if dataset is not None:
        from streamfer.cli._scores import show
        from streamfer.datasets import stills
        from streamfer.evaluation import stills as scores

        found = stills.load(*dataset)
        split = split or stills.TESTED.get(found.name)
        rows = found.part(split, fold, step)
        show(scores.expressions(found, rows, _au_model(model), mirror, _part(split, fold, step)), as_json)
        return
    assert file is not None
    click.echo(photographs.report(photographs.score_file(file, model, mirror), as_json))


def _au_model(path: Path) -> Any:
    from streamfer.action_units.model import AUModel

    return AUModel.load(str(path), device="cpu")


def _part(split: str | None, fold: int | None, step: int) -> str:
    """What was scored, in words."""
    words = [f"{split} part" if split not in (None, "all") else "all of it"]
    words += [f"people of fold {fold}"] if fold is not None else []
    return ", ".join(words + ([f"one of {step}"] if step > 1 else []))


_EXPLLM = (
    click.argument("sources", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path)),
    click.option("--model", type=_PATH, help="Folder of an ExpLLM.  [default: the bundled one]"),
    click.option(
        "--base", type=_PATH, help="Checkpoint that the model is an adapter for.  [default: where it was trained]"
    ),
    click.option(
        "--cache",
        type=_PATH,
        default=Path("work_data/cot"),
        show_default=True,
        help="Crops and landmarks of photographs.",
    ),
    click.option("--limit", type=click.IntRange(1), help="So many cases, drawn with a fixed seed."),
    click.option("--batch", default=8, show_default=True, type=click.IntRange(1)),
    click.option("--attempts", default=3, show_default=True, type=click.IntRange(1), help="At each text, at most."),
    click.option("--threads", type=click.IntRange(1), help="Of torch.  [default: all cores]"),
    click.option("--no-table", is_flag=True, help="Without the evidence table: pictures alone."),
    click.option("--no-pictures", is_flag=True, help="Without pictures: the evidence table alone."),
    click.option("--label-first", is_flag=True, help="The label before the text, the order of ExpLLM's released code."),
    _JSON,
)


def _expllm_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Sources (FER+ npz, or folders of results), the model, and what the ablations switch."""
    for option in reversed(_EXPLLM):
        function = option(function)
    return function


@command.command()
@_expllm_options
def expllm(**options: Any) -> None:
    """Truth, format, labels and variety of ExpLLM's texts.

    SOURCES are FER+ npz files (photographs with votes) or folders of results of `streamfer analyze`.
    """
    from streamfer.cli._scores import show
    from streamfer.evaluation.explanations import score

    outcome, name = _explained(**options)
    show(score(outcome, name), options["as_json"])


@command.command()
@_expllm_options
def feabench(**options: Any) -> None:
    """Expression, action units and reasoning, in the style of FEABench (which is not published)."""
    from streamfer.cli._scores import show
    from streamfer.evaluation.explanations import feabench as score

    show(score(_explained(**options)[0]), options["as_json"])


def _explained(
    sources: tuple[Path, ...], model: Path | None, base: Path | None, cache: Path, limit: int | None, batch: int,
    attempts: int, threads: int | None, no_table: bool, no_pictures: bool, label_first: bool, as_json: bool,
) -> tuple[Any, str]:  # fmt: skip
    from streamfer.errors import ExtraMissing

    try:
        from streamfer.evaluation.explanations import run
        from streamfer.evaluation.explanations_data import cases_of, loaded
    except ImportError as error:
        raise ExtraMissing.of(error.name or "torch", "train", "evaluating ExpLLM") from None
    net, codec, encoder, name = loaded(model, threads, base)
    cases, looks = cases_of(sources, encoder, cache, limit, pictures=net.projector_kind == "patches")
    outcome = run(
        net, codec, cases, None if no_pictures else looks, batch=batch, attempts=attempts, table=not no_table,
        label_first=label_first,
    )  # fmt: skip
    return outcome, f"{name} on {', '.join(path.name for path in sources)}"


def _load(dataset: tuple[str, str]) -> Any:
    from streamfer import datasets

    name, path = dataset
    return datasets.load(name, Path(path))


def _compared(dataset: tuple[str, str], out: Path, partial: bool, submission: bool = False) -> Compared:
    from streamfer.errors import UsageError
    from streamfer.evaluation.outputs import compare, compare_spots
    from streamfer.evaluation.submission import read_csv

    loaded = _load(dataset)
    if out.suffix.lower() != ".csv":
        return compare(loaded, out, partial)
    if not submission:
        raise UsageError(f"{out}: a submission has neither apexes nor classes nor AUs; give the folder of results")
    return compare_spots(loaded, read_csv(out))


def _thresholds(compared: Compared, minimum: float, choose: bool, iou: float, mode: Any) -> Thresholds:
    from streamfer.errors import UsageError
    from streamfer.evaluation import thresholds

    if not choose:
        return thresholds.fixed(compared, minimum)
    if minimum:
        raise UsageError("--choose-score chooses what --min-score fixes: give one of them")
    if any(event is None for clip in compared.clips for event in clip.events):
        raise UsageError("--choose-score needs scores, and a submission CSV has none: give the folder of results")
    try:
        return thresholds.choose(compared, iou, mode)
    except ValueError as error:
        raise UsageError(str(error)) from None
