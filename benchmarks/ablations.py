"""What ExpLLM nano owes to each of its parts: the same training with one thing changed, on the same photographs.

    python -m benchmarks.ablations --data fer.jsonl --start RUN --valid ferplus_valid.npz --steps 120 --photos 150 -o work

    --data   cot.jsonl of `streamfer cot build`, repeatable; each sample should have a picture
    --start  folder of a `train expllm` run on texts alone (`--language N --projector-steps 0 --all 0`)
    -o       folder: a run for each variant, and results.jsonl, one line a variant
    --trained FOLDER  instead of --data, --start and --steps: nothing is trained; a model that is there writes without its
             table, without pictures, with the label first. It was trained for all of that only in part

Every variant begins with the same language model, has the same number of steps, and draws the same candidates with the same
seed; which of them share a batch goes by length, so without the table it is partly others. An eighth of the steps trains
the projector alone. `base` is the chain of thought before the label, with the table and pictures, through `mpp`; each
other one differs in what its name says, in training and when it writes. A variant that is in results.jsonl is not run
again, one that was interrupted goes on from its last checkpoint; other settings need another folder.

Intervals are 95 %, photographs drawn again with replacement; differences are paired with `base` on the photographs where both
have a value. Drafts are written as the worker does (drafting.py), `--attempts` times at most. It compares
short trainings: it says which input or part a small model can use within these steps, not what a long training would make of
it. The photographs are stills: change between two pictures, and with it half of the projector's input, is not tested.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from streamfer.errors import UsageError
from streamfer.evaluation import bootstrap
from streamfer.evaluation.explanations import Outcome, Told, agrees, precision, recall, run
from streamfer.evaluation.explanations_data import cases_of, loaded
from streamfer.expllm.des2exp import Des2Exp
from streamfer.expllm.encoding import Codec
from streamfer.expllm.engine import Case
from streamfer.expllm.model import ExpLLM, Looks, parameters
from streamfer.expllm.patches import Pictures
from streamfer.training.expllm import ExpLLMTraining, Run, train

RESULTS = "results.jsonl"


@dataclass(frozen=True, slots=True)
class Variant:
    """What a model is trained with and writes with."""

    name: str
    projector: Literal["mlp", "mpp"] = "mpp"
    table: bool = True
    pictures: bool = True
    label_first: bool = False


VARIANTS = (
    Variant("base"),
    Variant("mlp", projector="mlp"),
    Variant("no table", table=False),
    Variant("label first", label_first=True),
    Variant("no pictures", pictures=False),
    Variant("no table, mlp", projector="mlp", table=False),
)
MEASURES = {
    "clean": "first drafts without fault",
    "precision": "... claim precision",
    "recall": "... claim recall",
    "faults": "... faults a text",
    "agrees": "... label = the rules' of the text alone",
    "des2exp": "... label = Des2Exp's of the text alone",
    "first_label": "... label right",
    "kept_clean": "kept texts without fault",
    "label": "... label right",
    "rules": "label of the rules, from the table, right",
    "encoder": "label of the perception network right",
}
"""Of each photograph with visible action; what a draft that cannot be read does not have is left out, its label is wrong."""


# -------------------------------------------------------------------------------------------- a variant


def training_of(variant: Variant, args: argparse.Namespace) -> ExpLLMTraining:
    """The training of one variant; its language model has the sizes of the one it starts from."""
    path = args.start / "checkpoint.pt"
    if not path.is_file():
        raise UsageError(f"{path} is not there: --start is the folder of a `streamfer train expllm` run")
    config = torch.load(path, map_location="cpu", weights_only=True)["config"]
    held = args.steps // 8
    return ExpLLMTraining(
        out=args.out / variant.name.replace(", ", "-").replace(" ", "-"), data=tuple(args.data), projector=variant.projector,
        width=config["width"], layers=config["layers"], heads=config["heads"], inner=config["inner"], language=0,
        projector_steps=held, all=args.steps - held, batch=args.batch, no_table=float(not variant.table),
        no_pictures=float(not variant.pictures), label_first=float(variant.label_first), start=args.start, seed=args.seed,
        threads=args.threads, device="cpu", report_steps=10,
    )  # fmt: skip


def values_of(told: Sequence[Told]) -> dict[str, list[float]]:
    """Measure -> a value for each text, NaN where there is none."""
    from streamfer.expllm.rules import judge

    reader = Des2Exp.load()
    rows = []
    for t in told:
        truth, expressed = t.case.truth, t.case.evidence.expressed
        rows.append(
            {
                "clean": float(t.first is not None and not t.first_faults),
                "precision": precision(t.first, t.case),
                "recall": recall(t.first, t.case),
                "faults": math.nan if t.first is None else float(len(t.first_faults)),
                "agrees": agrees(t.first, t.case),
                "des2exp": math.nan if t.first is None else float(reader.label(t.first) == t.first.label),
                "first_label": float(t.first is not None and t.first.label == truth),
                "kept_clean": float(t.kept is not None and not t.kept_faults),
                "label": float(t.kept is not None and t.kept.label == truth),
                "rules": float(judge(t.case.evidence).label == truth),
                "encoder": math.nan if expressed is None else float(expressed.best[0] == truth),
            }
        )
    return {name: [row[name] for row in rows] for name in MEASURES}


def measured(
    variant: Variant,
    net: ExpLLM,
    codec: Codec,
    cases: Sequence[Case],
    looks: Looks | Pictures | None,
    attempts: int,
    batch: int = 8,
) -> tuple[Outcome, dict[str, Any]]:
    """What a trained variant writes of the cases, and its line of results without the settings."""
    net.eval()
    outcome = run(
        net, codec, cases, looks if variant.pictures else None, batch=batch, attempts=attempts, table=variant.table,
        label_first=variant.label_first,
    )  # fmt: skip
    told = outcome.told
    if not told:
        raise UsageError("no photograph with visible action: give more --photos")
    line = {
        "variant": variant.name,
        "parameters": parameters(net),
        "photographs": [t.case.id for t in told],
        "without_visible_action": len(outcome.no_action),
        "values": {name: [none_of(v) for v in values] for name, values in values_of(told).items()},
        "seconds_a_text": outcome.seconds / len(told),
        "tokens_a_text": sum(t.tokens for t in told) / len(told),
    }
    return outcome, line


def none_of(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)


def model_of(variant: Variant, args: argparse.Namespace) -> tuple[ExpLLM, Codec, dict[str, Any] | None]:
    """The trained variant and its last losses; None for a model that was there."""
    if args.trained is not None:
        return *loaded(args.trained, args.threads)[:2], None
    trained = train(training_of(variant, args))
    return trained.model, trained.codec, last_losses(trained)


def last_losses(run_: Run) -> dict[str, Any]:
    """The last line of the training's log."""
    lines = (run_.config.out / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return {name: value for name, value in json.loads(lines[-1]).items() if name in ("text", "label", "tokens_per_s")}


# ------------------------------------------------------------------------------------------------ results


def read_results(path: Path, settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Variant -> its line. All lines must have been measured with `settings`; a half line, of a killed run, is left out."""
    found: dict[str, dict[str, Any]] = {}
    if not path.is_file():
        return found
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(keepends=True), 1):
        if not text.endswith("\n"):
            continue
        line = json.loads(text)
        if other := [name for name, value in settings.items() if line["settings"].get(name) != value]:
            raise UsageError(
                f"{path}, line {number} ({line['variant']}) was measured with other settings ({', '.join(other)}): "
                "give another folder with -o"
            )
        found[line["variant"]] = line
    return found


def append(path: Path, line: dict[str, Any]) -> None:
    """A whole line; what a killed run left of one is cut off first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    before = path.read_bytes() if path.is_file() else b""
    with path.open("r+b" if before else "wb") as file:
        file.truncate(before.rfind(b"\n") + 1)
        file.seek(0, 2)
        file.write((json.dumps(line) + "\n").encode())


def interval(values: Sequence[float | None]) -> tuple[float, float, float]:
    """Mean, and its 95 % interval by bootstrap over the values that are there."""
    there = np.array([v for v in values if v is not None], float)
    if not len(there):
        return math.nan, math.nan, math.nan
    if len(there) < 2:
        return float(there[0]), math.nan, math.nan
    draws = bootstrap.multiplicities(len(there))
    return float(there.mean()), *bootstrap.percentiles(draws @ there / len(there))


def difference(line: dict[str, Any], base: dict[str, Any], name: str) -> tuple[float, float, float]:
    """Variant minus base, paired by photograph, where both have a value."""
    of_base = dict(zip(base["photographs"], base["values"][name], strict=True))
    pairs = zip(line["photographs"], line["values"][name], strict=True)
    both = [(mine, of_base.get(photo)) for photo, mine in pairs]
    return interval([a - b for a, b in both if a is not None and b is not None])


def table(results: dict[str, dict[str, Any]]) -> str:
    """Markdown: a column a variant, a row a measure; below the value, the difference to base."""
    names = [v.name for v in VARIANTS if v.name in results]
    rows = [["", *names], ["---"] * (len(names) + 1)]
    rows.append(["parameters, millions", *(f"{results[n]['parameters'] / 1e6:.1f}" for n in names)])
    base = results.get("base")
    for measure, title in MEASURES.items():
        row = [title]
        for name in names:
            cell = cell_of(interval(results[name]["values"][measure]))
            if base is not None and name != "base" and measure not in ("rules", "encoder"):
                cell += f"; {cell_of(difference(results[name], base, measure), sign='+')}"
            row.append(cell)
        rows.append(row)
    for key, title, digits in (
        ("seconds_a_text", "seconds a text", 2),
        ("tokens_a_text", "tokens a text, all drafts", 0),
    ):
        rows.append([title, *(f"{results[n][key]:.{digits}f}" for n in names)])
    for key in ("text", "label") if all(results[n]["losses"] for n in names) else ():
        rows.append([f"last loss of the {key}", *(f"{results[n]['losses'][key]:.3f}" for n in names)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def cell_of(value: tuple[float, float, float], sign: str = "") -> str:
    mean, low, high = value
    if math.isnan(mean):
        return "-"
    if math.isnan(low):
        return f"{mean:{sign}.3f}"
    return f"{mean:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})" if sign else f"{mean:.3f} ({low:.3f}-{high:.3f})"


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, action="append", default=[])
    parser.add_argument("--start", type=Path)
    parser.add_argument("--trained", type=Path)
    parser.add_argument("--valid", type=Path, required=True, help="FER+ as npz (images, votes), not in --data")
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--photos", type=int, default=150)
    parser.add_argument("--attempts", type=int, default=3, help="as explain.attempts")
    parser.add_argument("--write-batch", type=int, default=8, help="photographs written about at once")
    parser.add_argument("--only", action="append", choices=[v.name for v in VARIANTS], help="repeatable; else all")
    parser.add_argument("--encoder", default="perception", help="a bundled name or a file")
    parser.add_argument("--cache", type=Path, help="meshes of the photographs [-o/cache]")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("-o", "--out", type=Path, required=True)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    args = parser().parse_args(arguments)
    if args.trained is None and not (args.data and args.start):
        raise UsageError("give --data and --start, or --trained")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    settings = {
        "data": [path.name for path in args.data], "start": args.start and args.start.name, "steps": args.steps,
        "batch": args.batch, "seed": args.seed,
    } if args.trained is None else {"trained": args.trained.name}  # fmt: skip
    settings |= {"valid": args.valid.name, "photos": args.photos, "attempts": args.attempts, "encoder": args.encoder}
    path = args.out / RESULTS
    results = read_results(path, settings)
    wanted = [v for v in VARIANTS if v.name not in results and (args.only is None or v.name in args.only)]
    if args.trained is not None:
        projector = loaded(args.trained, args.threads)[0].size.projector
        wanted = [v for v in wanted if v.projector == projector]
    cases: list[Case] = []
    looks: Looks | Pictures | None = None
    for variant in wanted:
        logging.info("%s", variant.name)
        net, codec, losses = model_of(variant, args)
        if not cases:
            from streamfer.action_units.model import AUModel

            encoder = AUModel.load(args.encoder, device="cpu", threads=args.threads)
            cases, looks = cases_of((args.valid,), encoder, args.cache or args.out / "cache", args.photos)
        outcome, line = measured(variant, net, codec, cases, looks, args.attempts, args.write_batch)
        for t in outcome.told[:2]:
            logging.info("%s, %s: %s %s", variant.name, t.case.id, t.first, t.first_faults)
        append(path, line | {"settings": settings, "losses": losses})
        results = read_results(path, settings)
    print(table(results))


if __name__ == "__main__":
    main()
