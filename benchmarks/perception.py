"""Everything the card of the perception network says, measured on its ONNX file.

    python -m benchmarks.perception --model perception.onnx --rival no_cues.onnx --data FOLDER --cache work_data/perception
    python -m benchmarks.perception --model perception.onnx --data FOLDER --part fer --part speed --json out.json

FOLDER holds ferplus_train_*.npz, ferplus_valid.npz, ict_facekit.npz, face_landmarker.task and videos/. `--rival` is the same
network trained without AU cues; the bundled landmark model is measured beside both. Crops and renders are made once and
kept in `--cache` (a quarter of an hour of one core the first time). The parts:

    fer     expression against FER+'s votes, with and without the pictures that are also in the training files
    cam     CAM-COS and ATT-COS, by Belharbi et al.
    ict     MAE and ICC(3,1) of each AU on 50 rendered people never seen (seed 14)
    clips   correlation with MediaPipe's alive blendshapes on real clips never seen, and the noise on a calm one
    hands   AU4, 6, 9 on frames labelled by hand
    mirror  a clip against its mirror image: do the sides swap?
    speed   ms a face, one thread
    int8    both ways of quantising: error of each AU, accuracy, size, ms

What is measured is the file as the product runs it. Nothing here was trained or chosen on, FER+'s copies apart.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import _perception as measures
from benchmarks import _perception_aus as aus
from benchmarks import _perception_cost as cost
from streamfer.action_units.model import AUModel
from streamfer.evaluation import expression, photographs
from streamfer.evaluation.expression import majority
from streamfer.records import LABELS
from streamfer.training import face_crops
from streamfer.training.face_crops import FaceCrops


@dataclass
class Bench:
    """The files, and what several parts need of them."""

    model: Path
    rival: Path | None
    checkpoint: Path | None
    data: Path
    cache: Path

    @cached_property
    def valid(self) -> tuple[FaceCrops, np.ndarray, np.ndarray]:
        """FER+'s validation faces, their votes (N, 10), and which are copies of a training picture."""
        path = self.data / "ferplus_valid.npz"
        faces = face_crops.cached(self.cache / f"{path.stem}.npz", lambda: face_crops.fer_faces(path))
        with np.load(path, allow_pickle=False) as valid:
            images, votes = valid["images"], valid["votes"]
        trained = [np.load(p, allow_pickle=False)["images"] for p in sorted(self.data.glob("ferplus_train_*.npz"))]
        return faces, votes, measures.copies(images, trained)

    @property
    def named(self) -> dict[str, Path]:
        """The perception files by the name they have in a table."""
        return {"perception": self.model} | ({"without cues": self.rival} if self.rival else {})

    def models(self) -> dict[str, AUModel]:
        """The landmark model first, then the file measured."""
        return {"landmarks": AUModel.load("landmarks", device="cpu"), "perception": AUModel.load(self.model, device="cpu")}


def fer(bench: Bench) -> dict[str, Any]:
    faces, votes, copied = bench.valid
    label, loose = majority(votes), measures.plurality(votes)
    print(f"{len(votes)} pictures: {(label >= 0).sum()} with a majority for an expression, {copied.sum()} copies of training "
          f"pictures ({(copied & (label >= 0)).sum()} of those kept), {(~faces.found).sum()} without a mesh\n")  # fmt: skip
    print("| file | pictures | mirror image too | accuracy (95 %) | mean recall (95 %) | accuracy by most votes |")
    print("|---|---|---|---|---|---|")
    found: dict[str, Any] = {}
    for name, path in bench.named.items():
        model = AUModel.load(path, device="cpu")
        one = photographs.expressions(model, faces)
        both = photographs.expressions(model, faces, mirror=True)
        for rows_name, rows in (("all", np.ones(len(votes), bool)), ("no copies", ~copied)):
            for mirror, given in (("no", one), ("yes", both)):
                s = expression.evaluate(given[rows], votes[rows])
                voted = rows & (loose >= 0)
                softer = float((given[voted].argmax(axis=1) == loose[voted]).mean())
                (a, b), (c, d) = s.accuracy_interval, s.mean_recall_interval
                print(f"| {name} | {rows_name} ({s.pictures}) | {mirror} | {s.accuracy:.4f} ({a:.4f}-{b:.4f}) | "
                      f"{s.mean_recall:.4f} ({c:.4f}-{d:.4f}) | {softer:.4f} ({voted.sum()}) |")  # fmt: skip
                found[f"{name}/{rows_name}/{mirror}"] = {
                    "accuracy": s.accuracy, "interval": s.accuracy_interval, "mean_recall": s.mean_recall,
                    "mean_recall_interval": s.mean_recall_interval, "recall": s.recall, "pictures": s.pictures,
                    "confusion": s.confusion[:, :-1].tolist(), "most_votes": softer,
                }  # fmt: skip
    chosen = found["perception/all/no"]
    print("\nConfusion of the perception file, all pictures, no mirror image; rows are the votes:\n")
    print("| | " + " | ".join(LABELS) + " | recall |\n|---|" + "---|" * (len(LABELS) + 1))
    for k, label_name in enumerate(LABELS):
        row = " | ".join(map(str, chosen["confusion"][k]))
        print(f"| {label_name} | {row} | {chosen['recall'][label_name]:.2f} |")
    return found


def cam(bench: Bench) -> dict[str, Any]:
    faces, votes, _ = bench.valid
    rows = np.flatnonzero((majority(votes) > 0) & faces.found)  # neutral has no cue
    some, labels = faces.take(rows), majority(votes[rows])
    maps = measures.cue_maps(some, labels)
    print(f"{len(rows)} validation faces with a mesh and an expression other than neutral. Mean of the seven classes (95 %), "
          "then of the publication's six, without contempt\n")  # fmt: skip
    print("| file | " + " | ".join(("CAM", "GradCAM++", "LayerCAM", "ATT-COS")) + " |\n|---|---|---|---|---|")
    found: dict[str, Any] = {}
    for name, path in bench.named.items():
        features, weights = measures.feature_maps(path, some)
        turned, _ = measures.feature_maps(path, measures.turned(some))
        both = (features + turned[..., ::-1]) / 2  # as the pictures of a key moment are made (AUModel.look)
        for row, seen in ((name, features), (f"{name}, with the mirror image", both)):
            scores = measures.look(seen, weights, maps, labels)
            cells = [f"{s.mean:.3f} ({s.interval[0]:.3f}-{s.interval[1]:.3f}), {s.of_six:.3f}" for s in scores.values()]
            print(f"| {row} | " + " | ".join(cells) + " |")
            found[row] = {method: asdict(s) for method, s in scores.items()}
    print("\n| class | faces | " + " | ".join(f"{n}: {m}" for n in found for m in ("cam", "layercam", "attention")) + " |")
    print("|---|---|" + "---|" * (3 * len(found)))
    for k, label in enumerate(LABELS):
        if (labels == k).any():
            cells = [f"{found[n][m]['by_class'][label]:.2f}" for n in found for m in ("cam", "layercam", "attention")]
            print(f"| {label} | {(labels == k).sum()} | " + " | ".join(cells) + " |")
    if bench.checkpoint:
        features, weights = measures.feature_maps(bench.model, some)
        for method in measures.METHODS:
            maps_of = measures.by_gradient(bench.checkpoint, some, labels, method)
            score = measures.cosines(measures.cam.cam_cos(maps_of, maps), labels)
            apart = np.abs(maps_of - measures.cam.class_activation(features, weights, labels, method)).max()
            print(f"\n{method} by torch's gradients on {bench.checkpoint}: {score.mean:.3f}; largest difference from the map "
                  f"that the file gives {apart:.2g}")  # fmt: skip
            found[f"gradient/{method}"] = asdict(score) | {"largest_difference": float(apart)}
    return found


PARTS: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "fer": fer, "cam": cam, "ict": aus.ict, "clips": aus.clips, "hands": aus.hands, "mirror": aus.mirror,
    "speed": cost.speed, "int8": cost.int8,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="the perception file")
    parser.add_argument("--rival", type=Path, help="the same network without AU cues")
    parser.add_argument("--checkpoint", type=Path, help="of --model's run: class activation by gradients too")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("work_data/perception"))
    parser.add_argument("--part", action="append", choices=PARTS, help="repeatable (default: all)")
    parser.add_argument("--json", type=Path, help="write what was measured here too")
    args = parser.parse_args()
    bench = Bench(args.model, args.rival, args.checkpoint, args.data, args.cache)
    found = {}
    for part in args.part or PARTS:
        print(f"\n## {part} (load {os.getloadavg()[0]:.1f})\n", flush=True)
        found[part] = PARTS[part](bench)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1, default=float) + "\n")


if __name__ == "__main__":
    main()
