"""AUC of an AU model for AU4, AU6 and AU9 on frames of real clips labelled by hand (benchmarks/hand_labels/README.md).

    python -m benchmarks.hand_labels FOLDER [--au-model landmarks|mine.onnx]     # FOLDER holds the clips
    python -m benchmarks.hand_labels FOLDER --program                            # as `streamfer analyze` writes it
    python -m benchmarks.hand_labels --agreement                                 # of the labeller with itself

Each labelled frame is read as streamfer reads it: faces followed through the whole clip, the face nearest to the
labelled place, no neutral level taken off. Of an AU's two sides the stronger one counts. With `--program` the
clips are analysed and faces.csv is read instead, with and without the neutral level: the whole way, the pace of looks included.
Two numbers for each AU:

* AUC: over all frames. A model that reads one person higher than another at rest pays for it here.
* within clips: only pairs of frames of the same clip are compared (each clip weighs by its pairs): what is left once a
  person's neutral level is known.

The 95 % intervals draw whole clips again (evaluation/bootstrap.py): frames of one clip are not independent. Where one
or two clips hold all positives no interval means much, and the number of clips with positives is printed beside it.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from streamfer import config
from streamfer.action_units import facs
from streamfer.action_units.model import AUModel
from streamfer.evaluation.agreement import auc
from streamfer.evaluation.bootstrap import interval_of
from streamfer.faces.landmarks import open_landmarks
from streamfer.records import Box, Face, HeadPose, Quality
from streamfer.video import open_video

LABELS = Path(__file__).parent / "hand_labels" / "au_4_6_9.csv"
SECOND = LABELS.with_name("au_4_6_9_second.csv")
AUS = ("AU4", "AU6", "AU9")


@dataclass(frozen=True, slots=True)
class Labelled:
    file: str
    frame: int
    place: tuple[float, float]  # middle of the face's box, px of the picture
    present: tuple[bool | None, ...]  # for each of AUS; None: cannot tell


def read_labels(path: Path) -> list[Labelled]:
    cell = {"1": True, "0": False, "": None}
    with path.open(newline="") as file:
        return [
            Labelled(row["file"], int(row["frame"]), (float(row["face_x_px"]), float(row["face_y_px"])),
                     tuple(cell[row[au]] for au in AUS))
            for row in csv.DictReader(file)
        ]  # fmt: skip


def measure(labels: list[Labelled], folder: Path, model: AUModel) -> np.ndarray:
    """(N, 3) intensities of AUS, the stronger side of each; NaN where the model has no such AU."""
    columns = [[i for i, name in enumerate(model.names) if f"AU{facs.parse(name)[0]}" == au] for au in AUS]
    out = np.full((len(labels), len(AUS)), np.nan)
    for file in dict.fromkeys(one.file for one in labels):
        own = defaultdict(list)
        for i, one in enumerate(labels):
            if one.file == file:
                own[one.frame].append(i)
        finder = open_landmarks(config.Faces())
        with open_video(folder / file) as source:
            for frame in source:
                meshes = finder.find(frame)
                for i in own.pop(frame.index, []):
                    mesh = min(meshes, key=lambda m: _away(m.points, labels[i].place), default=None)
                    if mesh is None or _away(mesh.points, labels[i].place) > np.ptp(mesh.points[:, 0]) / 2:
                        raise SystemExit(f"{file}, frame {frame.index}: no face was found where the label has one")
                    face = Face(0, "", Box(0, 0, 0, 0), mesh.points, HeadPose(0, 0, 0), Quality(0, 0, 0, 0, True))
                    read = model.predict([mesh.points], model.crops(frame.image, [face]))[0]
                    out[i] = [read[c].max() if c else np.nan for c in columns]
        finder.close()
        if own:
            raise SystemExit(f"{file} ended before its labelled frame {max(own)}: is it the same file?")
    return out


def measure_program(labels: list[Labelled], folder: Path, au_model: str, look_hz: float) -> dict[str, np.ndarray]:
    """(N, 3) from faces.csv of `streamfer analyze`, before and after the neutral level is taken off."""
    out = {kind: np.full((len(labels), len(AUS)), np.nan) for kind in ("raw", "corrected")}
    files = list(dict.fromkeys(one.file for one in labels))
    with tempfile.TemporaryDirectory() as results:
        subprocess.run(
            [sys.executable, "-m", "streamfer", "analyze", *(str(folder / file) for file in files), "-o", results, "--quiet",
             "--backend", "none", "--au-model", au_model, "--set", f"action_units.look_hz={look_hz:g}"],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        for file in files:
            table = pd.read_csv(Path(results) / Path(file).stem / "faces.csv")
            for i, one in enumerate(labels):
                rows = table[(table["frame"] == one.frame) & (table["success"] == 1)]
                if one.file != file or rows.empty:
                    continue
                middle = rows[["box_x", "box_y"]].to_numpy() + rows[["box_w", "box_h"]].to_numpy() / 2
                row = rows.iloc[int(np.hypot(*(middle - one.place).T).argmin())]
                for k, au in enumerate(AUS):
                    name = f"AU{int(au[2:]):02d}"
                    sides = [c for c in (name, f"{name}_L", f"{name}_R") if f"{c}_raw" in table]
                    out["raw"][i, k] = max((row[f"{c}_raw"] for c in sides), default=np.nan)
                    out["corrected"][i, k] = max((row[f"{c}_r"] for c in sides), default=np.nan)
    return out


def _away(points: np.ndarray, place: tuple[float, float]) -> float:
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    return float(np.hypot(*((low + high) / 2 - place)))


def pooled(present: np.ndarray, read: np.ndarray, clip: np.ndarray, times: np.ndarray) -> float:
    """AUC when clip c counts `times[c]` times."""
    again = np.repeat(np.arange(len(read)), times[clip])
    return auc(read[again][present[again]], read[again][~present[again]])


def within_clips(present: np.ndarray, read: np.ndarray, clip: np.ndarray, times: np.ndarray) -> float:
    """AUC over pairs of one clip; NaN when no clip has both."""
    pairs, right = 0.0, 0.0
    for c in np.flatnonzero(times):
        positive, negative = read[(clip == c) & present], read[(clip == c) & ~present]
        weight = times[c] * len(positive) * len(negative)
        if weight:
            pairs += weight
            right += weight * auc(positive, negative)
    return right / pairs if pairs else float("nan")


def table(labels: list[Labelled], read: np.ndarray) -> str:
    files = list(dict.fromkeys(one.file for one in labels))
    clip = np.array([files.index(one.file) for one in labels])
    lines = ["| AU | frames with, without | clips with it | AUC (95 % over clips) | within clips (95 % over clips) |",
             "|---|---|---|---|---|"]  # fmt: skip
    for k, au in enumerate(AUS):
        told = np.array([one.present[k] is not None for one in labels]) & np.isfinite(read[:, k])
        present = np.array([bool(one.present[k]) for one in labels])[told]
        cells = []
        for score in (pooled, within_clips):
            of = lambda times: score(present, read[told, k], clip[told], times)  # noqa: B023, E731
            low, high = interval_of(len(files), of, draws=1000)
            cells.append(f"{of(np.ones(len(files), int)):.2f} ({low:.2f}-{high:.2f})")
        holding = len(set(clip[told][present]))
        lines.append(f"| {au} | {present.sum()}, {(~present).sum()} | {holding} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def kappa(first: list[bool], second: list[bool]) -> float:
    """Cohen's kappa of two ratings of the same items; NaN when both always say the same one thing."""
    a, b = np.array(first), np.array(second)
    by_chance = a.mean() * b.mean() + (1 - a.mean()) * (1 - b.mean())
    return float(((a == b).mean() - by_chance) / (1 - by_chance)) if by_chance < 1 else float("nan")


def agreement() -> str:
    first = {(one.file, one.frame, one.place): one.present for one in read_labels(LABELS)}
    again = read_labels(SECOND)
    lines = ["| AU | frames told both times | of these alike | kappa | present both times | told once only, never |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    for k, au in enumerate(AUS):
        pairs = [(first[one.file, one.frame, one.place][k], one.present[k]) for one in again]
        told = [(bool(a), bool(b)) for a, b in pairs if a is not None and b is not None]
        once = sum((a is None) != (b is None) for a, b in pairs)
        never = len(pairs) - len(told) - once
        both, same = sum(a and b for a, b in told), sum(a == b for a, b in told)
        value = kappa([a for a, _ in told], [b for _, b in told])
        lines.append(f"| {au} | {len(told)} | {same} | {value:.2f} | {both} | {once}, {never} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="where the labelled clips are")
    parser.add_argument("--au-model", default="landmarks", help="'landmarks' or an ONNX file (default: landmarks)")
    parser.add_argument("--program", action="store_true", help="read faces.csv of `streamfer analyze` instead")
    parser.add_argument(
        "--look-hz", type=float, default=10.0, help="with --program: action_units.look_hz (default: 10)"
    )
    parser.add_argument("--agreement", action="store_true", help="only compare the two labellings")
    options = parser.parse_args()
    if options.agreement:
        print(agreement())
        return
    if options.folder is None:
        parser.error("give the folder with the clips, or --agreement")
    labels = read_labels(LABELS)
    if options.program:
        for kind, read in measure_program(labels, options.folder, options.au_model, options.look_hz).items():
            print(f"{options.au_model}, {options.look_hz:g} looks a second, faces.csv, {kind}: {len(labels)} frames\n")
            print(table(labels, read) + "\n")
        return
    model = AUModel.load(options.au_model, device="cpu")
    print(
        f"{model.info.name} {model.info.version}, {len(labels)} frames of {len({one.file for one in labels})} clips\n"
    )
    print(table(labels, measure(labels, options.folder, model)))


if __name__ == "__main__":
    main()
