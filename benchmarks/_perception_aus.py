"""The parts of benchmarks/perception.py about action units: renders, clips, hand labels, mirror images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import _perception as measures
from benchmarks import hand_labels
from streamfer.action_units import facs
from streamfer.evaluation.agreement import correlation
from streamfer.training import face_crops
from streamfer.training.landmark_au import TAUGHT
from streamfer.training.landmark_au import cached as cached_faces
from streamfer.training.landmark_scores import less_neutral, scores_on_renders
from streamfer.training.perception import PerceptionTraining
from streamfer.training.perception_data import load_renders
from streamfer.training.teacher import read_faces, teach, video_frames

if TYPE_CHECKING:
    from benchmarks.perception import Bench

TEST_SEED = 14
CLIPS = ("face_d10", "face_d13", "single_face", "face_s32")
"""Real clips that no bundled model was trained on; the last one is calm."""


def ict(bench: Bench) -> dict[str, Any]:
    config = PerceptionTraining(out=bench.cache, ict=bench.data / "ict_facekit.npz", cache=bench.cache, fer=())
    faces, renders = load_renders(config, TEST_SEED)
    print(f"{len(np.unique(renders.person))} people never seen, {len(faces)} pictures; each person's neutral level taken off\n")
    found: dict[str, Any] = {}
    for name, model in bench.models().items():
        read = measures.intensities(model, faces)
        per_column = scores_on_renders(read, renders, model.names)
        truth = renders.truth(model.names)
        means = {key: float(np.mean([row[key] for row in per_column.values()])) for key in next(iter(per_column.values()))}
        intervals = measures.people_interval(less_neutral(read, renders.person), truth, renders.person)
        found[name] = {"columns": per_column, "mean": means, "interval": intervals}
    heads = [f"{measure} {name}" for measure in ("MAE", "ICC(3,1)", "r in view") for name in found]
    print("| AU | MAE of 0 | " + " | ".join(heads) + " |")
    print("|---|---|" + "---|" * (3 * len(found)))
    columns = list(found["landmarks"]["columns"])
    for au in dict.fromkeys(facs.parse(c)[0] for c in columns):
        own = [c for c in columns if facs.parse(c)[0] == au]

        def mean(name: str, key: str, own: list[str] = own) -> str:
            return f"{np.mean([found[name]['columns'][c][key] for c in own]):.2f}"

        cells = [mean(name, key) for key in ("mae", "icc", "r_within") for name in found]
        print(f"| AU{au} | {mean('landmarks', 'mae_of_zero')} | " + " | ".join(cells) + " |")
    for name, row in found.items():
        (a, b), (c, d) = row["interval"]["mae"], row["interval"]["icc"]
        print(f"\nMean over columns, {name}: MAE {row['mean']['mae']:.3f} ({a:.3f}-{b:.3f}; always 0: "
              f"{row['mean']['mae_of_zero']:.3f}), ICC {row['mean']['icc']:.3f} ({c:.3f}-{d:.3f}), "
              f"r in view {row['mean']['r_within']:.3f}")  # fmt: skip
    return found


def clips(bench: Bench) -> dict[str, Any]:
    found: dict[str, Any] = {}
    models = bench.models()
    for clip in CLIPS:
        path = bench.data / "videos" / f"{clip}.mp4"
        faces = face_crops.cached(bench.cache / f"{clip}.npz", partial(face_crops.clip_faces, path))
        read = partial(read_faces, video_frames(path, 1), bench.data / "face_landmarker.task", tracked=True)
        taught = cached_faces(bench.cache / f"{clip}-blendshapes.npz", read)
        _, here, there = np.intersect1d(faces.index, taught.index, return_indices=True)
        for name, model in models.items():
            given = measures.intensities(model, faces)
            follows = correlation(given[here], teach(model.names, taught)[there])
            jitter = np.diff(given, axis=0).std(axis=0) / np.sqrt(2)
            found.setdefault(name, {})[clip] = {
                "frames": len(here), "r": dict(zip(model.names, map(float, follows), strict=True)),
                "jitter": dict(zip(model.names, map(float, jitter), strict=True)),
            }  # fmt: skip
    alive = [c for c in models["landmarks"].names if facs.parse(c)[0] in TAUGHT]
    print("Correlation with the blendshape, landmarks / perception; jitter: frame to frame, " + CLIPS[-1] + "\n")
    print("| column | " + " | ".join(CLIPS) + " | jitter |\n|---|" + "---|" * (len(CLIPS) + 1))
    for column in alive:
        cells = [" / ".join(_cell(found[n][clip]["r"][column]) for n in models) for clip in CLIPS]
        noise = " / ".join(_cell(found[n][CLIPS[-1]]["jitter"][column]) for n in models)
        print(f"| {column} | " + " | ".join(cells) + f" | {noise} |")
    for name in models:
        means = [float(np.nanmean([found[name][clip]["r"][c] for c in alive])) for clip in CLIPS]
        jitter_mean = float(np.mean(list(found[name][CLIPS[-1]]["jitter"].values())))
        print(f"\nMean, {name}: " + ", ".join(f"{c} {m:.2f}" for c, m in zip(CLIPS, means, strict=True))
              + f"; all {np.mean(means):.3f}; jitter of all columns {jitter_mean:.3f}")  # fmt: skip
        found[name]["mean"] = dict(zip(CLIPS, means, strict=True))
    return found


def hands(bench: Bench) -> dict[str, Any]:
    labels = hand_labels.read_labels(hand_labels.LABELS)
    found = {}
    for name, model in bench.models().items():
        read = hand_labels.measure(labels, bench.data / "videos", model)
        text = hand_labels.table(labels, read)
        print(f"{name}, {len(labels)} frames\n\n{text}\n")
        found[name] = {"table": text}
    return found


def mirror(bench: Bench) -> dict[str, Any]:
    print("`clip`: frames mirrored, faces found in them again. `face`: crop and landmarks mirrored, so the model's part alone.\n")
    print("| clip | model | clip: mean | p95 | worst column | face: mean | p95 |\n|---|---|---|---|---|---|---|")
    found: dict[str, Any] = {}
    for clip in CLIPS:
        path = bench.data / "videos" / f"{clip}.mp4"
        faces = face_crops.cached(bench.cache / f"{clip}.npz", partial(face_crops.clip_faces, path))
        again = face_crops.cached(bench.cache / f"{clip}-mirrored.npz", lambda path=path: face_crops.frame_faces(_mirrored(path)))
        _, here, there = np.intersect1d(faces.index, again.index, return_indices=True)
        for name, model in bench.models().items():
            read = measures.intensities(model, faces)
            of_clip = measures.mirror_gap(read[here], measures.intensities(model, again)[there], model.names)
            of_face = measures.mirror_gap(read, measures.intensities(model, measures.turned(faces)), model.names)
            found[f"{clip}/{name}"] = {"clip": asdict(of_clip), "face": asdict(of_face), "frames": len(here)}
            print(f"| {clip} ({len(here)}) | {name} | {of_clip.mean:.3f} | {of_clip.p95:.2f} | "
                  f"{of_clip.worst} {of_clip.worst_mean:.2f} | {of_face.mean:.3f} | {of_face.p95:.2f} |")  # fmt: skip
    for name in bench.models():
        rows = [found[f"{clip}/{name}"] for clip in CLIPS]
        mean = float(np.mean([row["clip"]["mean"] for row in rows]))
        print(f"\nMean of the clips, {name}: {mean:.3f}, p95 {np.mean([row['clip']['p95'] for row in rows]):.2f}; "
              f"face alone {np.mean([row['face']['mean'] for row in rows]):.3f}")  # fmt: skip
    return found


def _mirrored(path: Path) -> Iterator[np.ndarray]:
    for image in video_frames(path, 1):
        yield np.ascontiguousarray(image[:, ::-1])


def _cell(value: float) -> str:
    return "-" if not np.isfinite(value) else f"{value:.2f}"

