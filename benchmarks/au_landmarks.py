"""The tables of streamfer/models/au_landmarks.md, measured again on the model file.

    python benchmarks/au_landmarks.py --ict ict_facekit.npz --task face_landmarker.task \
        --fer ferplus_valid.npz --calm calm.mp4 --clips a.mp4 b.mp4 --cache /tmp/au

Everything used here is kept out of training: renders of 50 people with seed 14, FER+'s validation faces, other clips.
`--calm` is a clip of a face that hardly moves. The first run draws the renders (some minutes); later ones take seconds.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np

from streamfer.action_units.model import AUModel
from streamfer.training.landmark_au import TAUGHT, LandmarkTraining, cached, cached_renders
from streamfer.training.landmark_scores import blendshapes_on_renders, noise, on_clips, on_labels, on_renders
from streamfer.training.renders import Renders, make_renders
from streamfer.training.teacher import RealFaces, enlarged, read_faces, video_frames

TEST_SEED, ALIVE_SEED = 14, 99


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="landmarks")
    parser.add_argument("--ict", type=Path, required=True)
    parser.add_argument("--task", type=Path, required=True)
    parser.add_argument("--fer", type=Path)
    parser.add_argument("--fer-images", type=int, default=1500)
    parser.add_argument("--calm", type=Path)
    parser.add_argument("--clips", type=Path, nargs="*", default=[])
    parser.add_argument("--cache", type=Path, required=True)
    args = parser.parse_args()
    args.cache.mkdir(parents=True, exist_ok=True)
    model = AUModel.load(args.model, device="cpu", threads=1)
    print(f"{model.info.name} {model.info.version}, sha256 {model.info.sha256[:16]}\n")

    config = LandmarkTraining(ict=args.ict, task=args.task, cache=args.cache, out=Path())
    test = cached_renders(config, TEST_SEED)
    scores, alive = on_renders(model, test), aliveness(args, model.names)
    still = {}
    clips = [*args.clips, *([args.calm] if args.calm else [])]
    read = {c.stem: cached(args.cache / f"test-{c.stem}.npz", partial(all_faces, c, args.task)) for c in clips}
    if args.calm:
        still = noise(model, read[args.calm.stem])

    print(f"Renders of {len(np.unique(test.person))} people never seen, {len(test.view)} pictures.\n")
    print("| column | MAE | MAE of 0 | ICC(3,1) | r | r in view | blendshape | std | jitter |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in model.names:
        row, calm = scores[name], still.get(name, {"std": np.nan, "jitter": np.nan})
        cells = [row[k] for k in ("mae", "mae_of_zero", "icc", "r", "r_within")]
        print(f"| {name} | " + " | ".join(cell(v) for v in (*cells, alive[name], calm["std"], calm["jitter"])) + " |")
    means = {k: np.mean([row[k] for row in scores.values()]) for k in next(iter(scores.values()))}
    print("\nMean: " + ", ".join(f"{k} {v:.3f}" for k, v in means.items()))

    if read:
        table = on_clips(model, read)
        print("\n| column | " + " | ".join(read) + " |\n|---|" + "---|" * len(read))
        for name, row in table.items():
            if int(name[2:4]) in TAUGHT:
                print(f"| {name} | " + " | ".join(cell(row.get(clip, np.nan)) for clip in read) + " |")
    if args.fer:
        with np.load(args.fer) as data:
            images, votes = data["images"][: args.fer_images], data["votes"][: args.fer_images]
        path = args.cache / f"test-{args.fer.stem}-{args.fer_images}.npz"
        faces = cached(path, partial(read_faces, enlarged(images), args.task))
        print(f"\nFER+ validation: face found in {len(faces.index)} of {faces.seen} pictures.")
        for label, row in on_labels(model, faces, votes).items():
            count = int(row.pop("faces"))
            print(f"| {label} | {count} | " + ", ".join(f"{au} {value:.2f}" for au, value in row.items()) + " |")

    one = list(test.landmarks[:1])
    model.predict(one)
    started = time.process_time()
    for _ in range(1000):
        model.predict(one)
    print(f"\npredict, one face, one thread: {time.process_time() - started:.3f} ms")


def all_faces(clip: Path, task: Path) -> RealFaces:
    return read_faces(video_frames(clip, 1), task, tracked=True)


def aliveness(args: argparse.Namespace, columns: tuple[str, ...]) -> dict[str, float]:
    """How well the teacher's blendshapes follow the truth, on 300 pictures."""
    renders_path, faces_path = args.cache / "alive-renders.npz", args.cache / "alive-faces.npz"
    if not faces_path.exists():
        pictures: list[np.ndarray] = []
        make_renders(args.ict, 25, 3, 4, ALIVE_SEED, pictures.append).save(renders_path)
        read_faces(pictures, args.task).save(faces_path)
    return blendshapes_on_renders(Renders.load(renders_path), RealFaces.load(faces_path), columns)


def cell(value: float) -> str:
    return "-" if not np.isfinite(value) else f"{value:.2f}"


if __name__ == "__main__":
    main()
