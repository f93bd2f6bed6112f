"""From data to cot.jsonl: what `streamfer cot build` does.

    build_fer((Path("ferplus_train_a.npz"),), encoder, cache, out)     # photographs with voted labels
    build_renders(Path("ict_facekit.npz"), (11, 12), encoder, cache, out)  # onset and apex of drawn people
    build_made_up(20000, seed=1, out=out)                              # evidence without pictures
    build_events(Path("out/clip"), encoder, out)                       # what `streamfer analyze` found in a clip

Each writes OUT (one `engine.Sample` a line) and, where there are pictures, OUT's name + `.looks.safetensors` with what
the perception network saw of them, row by row, so that training does not run it again; with `pictures=True` the pictures
themselves instead (`.pictures.safetensors`), for sizes with an eye of their own. Both are replaced whole.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from streamfer.action_units.model import AUModel, Encoded
from streamfer.errors import UsageError
from streamfer.evaluation import photographs
from streamfer.evaluation.expression import majority
from streamfer.expllm.engine import Case, ComposerWriter, CoTWriter, Counts, build
from streamfer.expllm.evidence import Evidence
from streamfer.expllm.look import Encoder, local_points, looks_of
from streamfer.expllm.model import Looks, ModelSize
from streamfer.expllm.patches import Pictures
from streamfer.expression.facemaps import looked_at
from streamfer.records import LABELS, to_json
from streamfer.training import face_crops
from streamfer.training.expllm import LOOKS, PICTURES
from streamfer.training.expllm_data import FLOOR, compact, encoded, made_up, render_pairs, rest_of, still_cases
from streamfer.training.face_crops import CROP_PX
from streamfer.training.perception_data import held_out

log = logging.getLogger(__name__)

MOST_OF_A_LABEL = 3500
"""Photographs taken of one label: FER+ has 8,700 happy and 6,900 neutral ones, and 165 of contempt."""


def write(out: Path, cases: Iterable[Case], looks: Looks | Pictures | None, writer: CoTWriter | None = None) -> Counts:
    """Run the engine over `cases` and write the accepted samples; only looks that a sample points to are kept."""
    from dataclasses import replace

    from safetensors.torch import save_file

    counts, used = Counts(), []
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_suffix(".part")
    with part.open("w", encoding="utf-8") as lines:
        for sample in build(cases, writer or ComposerWriter(), counts):
            if looks is not None:
                used.append(sample.row)
                sample = replace(sample, row=len(used) - 1)
            lines.write(to_json(sample) + "\n")
    if looks is not None:
        kept = (
            looks.take(torch.tensor(used, dtype=torch.long)) if used else looks.take(torch.zeros(0, dtype=torch.long))
        )
        kept = compact(kept) if isinstance(kept, Looks) else kept
        beside = out.with_name(out.stem + (LOOKS if isinstance(kept, Looks) else PICTURES))
        save_file({name: getattr(kept, name).contiguous() for name in kept.__slots__}, beside)
    part.replace(out)
    log.info(
        "%s: %d texts in %d attempts; no action %d; refused %s",
        out,
        counts.taken,
        counts.attempts,
        counts.no_action,
        counts.refused,
    )
    return counts


def build_fer(
    paths: tuple[Path, ...],
    encoder: AUModel,
    cache: Path,
    out: Path,
    *,
    hold_out: int,
    only_held_out: bool = False,
    seed: int = 0,
    pictures: bool = False,
) -> Counts:
    """FER+ photographs. Those that the perception network chose by (`hold_out`) are left out, or are the only ones."""
    most = MOST_OF_A_LABEL if hold_out and not only_held_out else None
    cases, looks = fer_cases(
        paths, encoder, cache, hold_out=hold_out, only_held_out=only_held_out, most=most, seed=seed, pictures=pictures
    )
    return write(out, cases, looks)


def fer_cases(
    paths: tuple[Path, ...], encoder: AUModel, cache: Path, *, hold_out: int = 0, only_held_out: bool = False,
    most: int | None = None, seed: int = 0, pictures: bool = False,
) -> tuple[list[Case], Looks | Pictures]:  # fmt: skip
    """All photographs with a majority and a mesh, at most `most` of a label, and what the encoder sees of them (or they)."""
    parts, votes, names = [], [], []
    for path in paths:
        parts.append(face_crops.cached(cache / f"{path.stem}.npz", partial(face_crops.fer_faces, path)))
        with np.load(path, allow_pickle=False) as data:
            votes.append(data["votes"])
        names += [path.stem] * len(parts[-1])
    faces, vote = face_crops.joined(parts), np.concatenate(votes)
    held = held_out(len(faces), hold_out) if hold_out else np.zeros(len(faces), bool)
    labels = majority(vote)
    wanted = np.flatnonzero((held == only_held_out) & (labels >= 0) & faces.found)
    if most is not None:
        rng = np.random.default_rng(seed)
        by_label = [_some(wanted[labels[wanted] == k], most, rng) for k in range(len(LABELS))]
        wanted = np.sort(np.concatenate(by_label))
    chosen = faces.take(wanted)
    seen = encoded(encoder, chosen)._replace(expression=photographs.expressions(encoder, chosen, mirror=True))  # as in `look`
    rest = rest_of(seen.intensity, labels[wanted], chosen.found)
    name = names[wanted[0]] if len(wanted) else "fer"
    looked = _looked(encoder, chosen, seen)
    cases = list(still_cases(name, vote[wanted], chosen, seen, encoder.names, rest, encoder.source, looked))
    return cases, looks_of(seen, None, local_points(chosen.landmarks, CROP_PX))


def _looked(encoder: AUModel, faces: face_crops.FaceCrops, seen: Encoded) -> list[tuple[float, ...]] | None:
    """Where the encoder looked in each photograph; None when it has no spatial map."""
    if not len(faces):
        return None
    first = encoder.look(np.repeat(faces.crops[0][..., None], 3, axis=2), faces.landmarks[0])  # for the classifier's weights
    if first is None:
        return None
    told = []
    for rows in face_crops.in_batches(len(faces), 256):
        best = seen.expression[rows].argmax(axis=1)
        told += looked_at(seen.features[rows], first.weights, best, faces.landmarks[rows], CROP_PX)
    return told


def _some(rows: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    return rows if len(rows) <= most else rng.choice(rows, most, replace=False)


def build_renders(
    ict: Path,
    seeds: tuple[int, ...],
    encoder: AUModel,
    cache: Path,
    out: Path,
    people: int = 50,
    pictures: bool = False,
) -> Counts:
    """Pairs of ICT-FaceKit renders, as the perception network's training makes and keeps them."""
    from streamfer.training.perception import PerceptionTraining
    from streamfer.training.perception_data import load_renders

    config = PerceptionTraining(out=cache, fer=(), ict=ict, cache=cache, people=people)
    cases: list[Case] = []
    parts: list[Any] = []
    for seed in seeds:
        faces, renders = load_renders(config, seed)
        seen = encoded(encoder, faces)
        more, looks = render_pairs(renders, faces, seen, encoder.names, encoder.source, seed, pictures=pictures)
        before = sum(len(part) for part in parts)
        cases += [Case(c.id, c.evidence, c.truth, c.pictures, c.row + before) for c in more]
        parts.append(looks)
    return write(out, cases, type(parts[0]).joined(parts))


def build_made_up(count: int, seed: int, out: Path) -> Counts:
    return write(out, made_up(count, seed), None)


def build_events(folder: Path, encoder: AUModel, out: Path, *, pictures: bool = False) -> Counts:
    """As `event_cases`, written by the engine."""
    return write(out, *event_cases(folder, encoder, pictures=pictures))


def event_cases(
    folder: Path, encoder: AUModel, *, pictures: bool = False
) -> tuple[list[Case], Looks | Pictures | None]:
    """The events that `streamfer analyze` left in a folder, with their key frames; nothing is known of their truth."""
    import cv2

    from streamfer.reporting.folder import KEYFRAMES, load

    analysis = load(folder)
    cases, shown = [], []
    for n, explained in enumerate(analysis.explained):
        event = explained.event
        paths = {role: folder / KEYFRAMES / f"{event.id}_{role}.jpg" for role in ("onset", "apex")}
        if not all(path.is_file() for path in paths.values()):
            raise UsageError(f"{folder} has no key frames of {event.id}: analyse with output.keyframes on")
        shown.append({role: cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) for role, path in paths.items()})
        cases.append(Case(event.id, Evidence.of(event, FLOOR), None, tuple(str(path) for path in paths.values()), n))
    if pictures or not shown:
        return cases, Pictures.of(shown) if shown else None
    looker = Encoder(encoder, ModelSize(0))
    looks = looker.look(shown)
    looker.close()
    return cases, looks
