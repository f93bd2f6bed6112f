"""The parts of benchmarks/perception.py about cost: time of a face, and what int8 loses and saves."""

from __future__ import annotations

import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import _perception as measures
from streamfer.action_units import facs
from streamfer.action_units.model import AUModel
from streamfer.evaluation import expression, photographs
from streamfer.training import face_crops
from streamfer.training.face_crops import FaceCrops
from streamfer.training.perception_int8 import dynamic
from streamfer.training.perception_int8 import int8 as static

if TYPE_CHECKING:
    from benchmarks.perception import Bench

CALIBRATION = 300  # faces of the training set
ROUNDS = 5  # every file in turn, so that a busy moment hits all


def speed(bench: Bench) -> dict[str, Any]:
    """`predict` of one face: crop and landmarks in, intensities out; alignment is not in it."""
    return _times(bench, {name: Path(model.info.path) for name, model in bench.models().items()})


def int8(bench: Bench) -> dict[str, Any]:
    faces, votes, _ = bench.valid
    names = sorted(bench.data.glob("ferplus_train_*.npz"))[:1]
    if not names:
        raise SystemExit(f"{bench.data} has no ferplus_train_*.npz: int8 is calibrated on training faces")
    trained = face_crops.cached(bench.cache / f"{names[0].stem}.npz", lambda: face_crops.fer_faces(names[0]))
    trained = trained.take(np.flatnonzero(trained.found)[:CALIBRATION])
    with tempfile.TemporaryDirectory() as folder:
        files = {"float32": bench.model, "int8 static": Path(folder) / "static.onnx", "int8 dynamic": Path(folder) / "dynamic.onnx"}
        static(bench.model, files["int8 static"], measures.pictures(trained), list(trained.landmarks))
        dynamic(bench.model, files["int8 dynamic"])
        times = _times(bench, files)
        found = {name: _answers(path, faces, votes) for name, path in files.items()}
        sizes = {name: path.stat().st_size for name, path in files.items()}
    whole = found["float32"]
    table: dict[str, Any] = {}
    print("\n| file | MB | accuracy | same expression | probability moved | intensity moved: mean, p99 | accuracy per processor ms |")
    print("|---|---|---|---|---|---|---|")
    for name, (read, given, accuracy) in found.items():
        same = float((given.argmax(axis=1) == whole[1].argmax(axis=1)).mean())
        error = np.abs(read - whole[0])
        per_ms = accuracy / times[name]["cpu_ms"]
        table[name] = {
            "bytes": sizes[name], "accuracy": accuracy, "same": same, "moved": float(np.abs(given - whole[1]).mean()),
            "error": dict(zip(AUModel.load(bench.model, device="cpu").names, map(float, error.mean(axis=0)), strict=True)),
            "p99": float(np.percentile(error, 99)), "accuracy_per_ms": per_ms, "time": times[name],
        }  # fmt: skip
        print(f"| {name} | {sizes[name] / 1e6:.2f} | {accuracy:.4f} | {same:.4f} | {table[name]['moved']:.4f} | "
              f"{error.mean():.4f}, {table[name]['p99']:.3f} | {per_ms:.3f} |")  # fmt: skip
    by_au: dict[int, list[float]] = {}
    for column, value in table["int8 static"]["error"].items():
        by_au.setdefault(facs.parse(column)[0], []).append(value)
    print("\nStatic int8, mean change of each AU: " + ", ".join(f"AU{au} {np.mean(v):.3f}" for au, v in by_au.items()))
    chosen = max(table, key=lambda name: table[name]["accuracy_per_ms"])
    print(f"\nMost accuracy per processor millisecond: {chosen}.")
    return table | {"chosen": chosen}


def _answers(path: Path, faces: FaceCrops, votes: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Intensities of the faces with a mesh, expressions of all, accuracy."""
    model = AUModel.load(path, device="cpu")
    given = photographs.expressions(model, faces)
    read = measures.intensities(model, faces.take(np.flatnonzero(faces.found)))
    return read, given, expression.evaluate(given, votes).accuracy


def _times(bench: Bench, files: dict[str, Path]) -> dict[str, Any]:
    faces, *_ = bench.valid
    one = faces.take(np.flatnonzero(faces.found)[:1])
    crops, points = measures.pictures(one), list(one.landmarks)
    models = {name: AUModel.load(path, device="cpu", threads=1) for name, path in files.items()}
    rounds: dict[str, list[measures.Timing]] = {name: [] for name in models}
    for _ in range(ROUNDS):
        for name, model in models.items():
            given = crops if model.needs_crop else None
            rounds[name].append(measures.timed(lambda model=model, given=given: model.predict(points, given)))
    print(f"One face a call, one thread, {ROUNDS} rounds of {rounds[next(iter(rounds))][0].calls} calls in turn; load "
          f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores. Median of the rounds (least-most)\n")  # fmt: skip
    print("| file | p50 ms | p95 ms | processor ms |\n|---|---|---|---|")
    table = {}
    for name, own in rounds.items():
        cells = []
        for key in ("p50_ms", "p95_ms", "cpu_ms"):
            values = [asdict(t)[key] for t in own]
            cells.append(f"{np.median(values):.2f} ({min(values):.2f}-{max(values):.2f})")
        table[name] = {key: float(np.median([asdict(t)[key] for t in own])) for key in ("p50_ms", "p95_ms", "cpu_ms")}
        print(f"| {name} | " + " | ".join(cells) + " |")
    return table
