"""Train the micro-expression recogniser, leaving one subject out, and once more on everybody for use.

    report = train_micro(MicroTraining(cache=Path("work_data/micro"), out=Path("micro.onnx")), datasets)

The protocol, and what it refuses: each person's clips are judged by a network that never saw that person; every
network is trained for the same number of epochs, set before anything is seen, and the weights after the last one are
used. Keeping the epoch that scores best on the left-out person, as some published code does, is choosing on the test: on
groups of a few clips that alone lifts scores by many points. Predictions of all folds are pooled and scored once.

Each fold's answers are a file in the cache folder; a run that was interrupted goes on with the folds that are
missing, and folds of other settings or data are not used. Deterministic for a seed and a machine: each fold has
its own seed, so the order in which folds are trained does not matter.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from streamfer.evaluation.folds import person
from streamfer.evaluation.recognition import CLASSES, Answer, Recognition, evaluate, write_log
from streamfer.expression.micro import MicroMetadata
from streamfer.reporting.folder import replace_text
from streamfer.training.micro_data import MicroData, read_samples
from streamfer.training.micro_net import STSTNet, export

if TYPE_CHECKING:
    from streamfer.datasets.records import Dataset

log = logging.getLogger(__name__)

LOG = "loso.log"
LICENCE = "as the data sets it was trained on allow; their agreements commonly forbid other than research use"


@dataclass(frozen=True, slots=True)
class MicroTraining:
    """Epochs, batch and learning rate are the paper's."""

    cache: Path
    out: Path
    epochs: int = 800
    batch: int = 256
    learning_rate: float = 5e-5
    seed: int = 1
    version: str = "1"

    def digest(self, data: MicroData) -> str:
        """Over what a fold's answers depend on."""
        parts = {k: v for k, v in asdict(self).items() if k not in ("cache", "out", "version")}
        return hashlib.sha256(json.dumps([parts, data.digest()], sort_keys=True).encode()).hexdigest()[:16]


def train_micro(training: MicroTraining, datasets: Iterable[Dataset]) -> Recognition:
    """Read the data, leave each person out once, write the log beside the model, train on all, export."""
    torch.set_num_threads(1)
    data = read_samples(datasets, training.cache)
    scores = leave_one_out(data, training)
    net = fit(data.flows, data.labels, training, seed=training.seed)
    training.out.parent.mkdir(parents=True, exist_ok=True)
    export(net, metadata(data, scores, training), training.out)
    log.info("wrote %s, trained on all %d", training.out, len(data.samples))
    return scores


def leave_one_out(data: MicroData, training: MicroTraining) -> Recognition:
    """Answers of all folds, pooled; the log in MEGC 2019's format is written when the last one is there."""
    people = [person(sample.dataset, sample.subject) for sample in data.samples]
    order = list(dict.fromkeys(people))
    if len(order) < 2:
        raise ValueError(f"leaving one person out needs two, there is {' and '.join(order) or 'none'}")
    answers: list[Answer] = []
    for number, left_out in enumerate(order, 1):
        started = time.perf_counter()
        test = np.array([who == left_out for who in people])
        given, kept = _fold(data, test, left_out, training)
        own = [sample for sample, there in zip(data.samples, test, strict=True) if there]
        answers += [Answer(sample, int(best)) for sample, best in zip(own, given, strict=True)]
        right = sum(sample.label == best for sample, best in zip(own, given, strict=True))
        log.info("fold %d/%d, %s: %d of %d right%s", number, len(order), left_out, right, len(own),
                 " (done before)" if kept else f", {time.perf_counter() - started:.1f} s")  # fmt: skip
    write_log(training.cache / LOG, answers)
    scores = evaluate(answers)
    log.info("%d people, %d clips: %s; predictions in %s", len(order), len(answers), _line(scores), training.cache / LOG)
    return scores


def fit(flows: np.ndarray, labels: np.ndarray, training: MicroTraining, *, seed: int) -> STSTNet:
    """Train on (N, 3, 28, 28) and (N,) for the fixed number of epochs; the weights are those after the last."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    inputs, truth = torch.from_numpy(flows), torch.from_numpy(labels)
    net = STSTNet(len(CLASSES))
    optimiser = torch.optim.Adam(net.parameters(), lr=training.learning_rate)
    loss_of = nn.CrossEntropyLoss()
    net.train()
    for _ in range(training.epochs):
        for batch in torch.randperm(len(inputs), generator=generator).split(training.batch):
            optimiser.zero_grad()
            loss_of(net(inputs[batch]), truth[batch]).backward()
            optimiser.step()
    return net.eval()


def _fold(data: MicroData, test: np.ndarray, left_out: str, training: MicroTraining) -> tuple[Sequence[int], bool]:
    """The classes given to the left-out person's clips, and whether they come from an earlier run."""
    digest = training.digest(data)
    path = training.cache / f"folds-{digest}" / f"{left_out.replace('/', '_')}.json"
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))["given"], True
    seed = int.from_bytes(hashlib.sha256(f"{training.seed} {left_out}".encode()).digest()[:4], "little")
    net = fit(data.flows[~test], data.labels[~test], training, seed=seed)
    with torch.no_grad():
        probability = torch.softmax(net(torch.from_numpy(data.flows[test])), dim=1).numpy()
    given = [int(best) for best in probability.argmax(axis=1)]
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"person": left_out, "seed": seed, "given": given, "probability": probability.round(6).tolist()}
    replace_text(path, json.dumps(record))
    return given, False


def metadata(data: MicroData, scores: Recognition, training: MicroTraining) -> MicroMetadata:
    names = list(dict.fromkeys(sample.dataset for sample in data.samples))
    people = len({person(sample.dataset, sample.subject) for sample in data.samples})
    counts = [int((data.labels == label).sum()) for label in range(len(CLASSES))]
    described = ", ".join(f"{count} {name}" for count, name in zip(counts, CLASSES, strict=True))
    return MicroMetadata(
        name="STSTNet",
        version=training.version,
        classes=CLASSES,
        training_data=f"{' + '.join(names)}: {len(data.samples)} micro-expressions of {people} people ({described})",
        protocol=f"scores: leave one subject out, {people} folds, pooled; {training.epochs} epochs each, seed {training.seed}, "
        "no epoch chosen; the network in this file was trained on everybody",
        scores={name: round(value, 4) for name, value in scores.scores().items()},
        licence=LICENCE,
    )


def _line(scores: Recognition) -> str:
    def one(part: str | None, name: str) -> str:
        own = scores.scores(part)
        low, high = scores.interval("uf1", part)
        return f"{name} UF1 {own['uf1']:.3f} ({low:.3f}-{high:.3f}) UAR {own['uar']:.3f}"

    parts = list(dict.fromkeys(scores.parts))
    return ", ".join([one(None, "all"), *(one(part, part) for part in parts if len(parts) > 1)])
