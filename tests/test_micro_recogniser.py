"""The recogniser: its input from planted movements, leaving one person out, the exported file, labels in events."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch

from streamfer import datasets
from streamfer.config import Faces
from streamfer.datasets.records import Annotation, Clip, Dataset
from streamfer.errors import ModelContract, ModelError, ModelMissing, UsageError
from streamfer.evaluation.recognition import Sample, read_log
from streamfer.expression.micro import FacePicture, MicroMetadata, MicroModel, flow_input, strain, without_similarity
from streamfer.faces.landmarks import FaceMesh
from streamfer.records import Frame
from streamfer.training import micro as training_module
from streamfer.training.micro import LOG, MicroTraining, leave_one_out, train_micro
from streamfer.training.micro_data import MicroData, read_samples
from streamfer.training.micro_net import STSTNet, export
from tests.programs import portrait, run_cli

MOUTH_CORNERS, BROWS, NOSE_WINGS = (61, 291), (107, 336), (129, 358)
MOVES = {"happiness": (MOUTH_CORNERS, -4.0), "surprise": (BROWS, -5.0), "disgust": (NOSE_WINGS, -3.0)}
"""Which points go where (down, in pixels of the portrait) for an emotion of each class."""


@pytest.fixture(scope="module")
def landmarks() -> np.ndarray:
    finder = FaceMesh(Faces())
    (mesh,) = finder.find(Frame(0, 0.0, portrait()))
    finder.close()
    return mesh.points


def moved(landmarks: np.ndarray, emotion: str, part: float = 1.0, shift: tuple[float, float] = (0.0, 0.0),
          noise: int = 0) -> np.ndarray:  # fmt: skip
    """The portrait with that movement, the head shifted, and camera noise."""
    image = portrait()
    y, x = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    down = np.zeros_like(x)
    points, pixels = MOVES[emotion]
    for point in points:
        down += pixels * part * np.exp(-((x - landmarks[point, 0]) ** 2 + (y - landmarks[point, 1]) ** 2) / (2 * 9.0**2))
    warped = cv2.remap(image, x - shift[0], y - down - shift[1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    grain = np.random.default_rng(noise).normal(0, 1.5, warped.shape)
    return np.clip(warped + grain, 0, 255).astype(np.uint8)


# ------------------------------------------------------------------------------------------------- input


@pytest.mark.parametrize("shift", [(0.0, 0.0), (2.5, -1.5)], ids=["still", "head-shifted"])
@pytest.mark.parametrize(("emotion", "rows"), [("happiness", (17, 24)), ("surprise", (4, 10))])
def test_the_flow_shows_the_movement_where_it_is(landmarks, emotion, rows, shift) -> None:
    onset = FacePicture(moved(landmarks, emotion, 0.0, noise=1), landmarks)
    apex = FacePicture(moved(landmarks, emotion, 1.0, shift, noise=2), landmarks + np.array([*shift, 0], np.float32))
    channels = flow_input(onset, apex)
    assert channels.shape == (3, 28, 28) and channels.dtype == np.float32
    assert channels.min(axis=(1, 2)) == pytest.approx(0) and channels.max(axis=(1, 2)) == pytest.approx(255)
    up = np.unravel_index(channels[1].argmin(), (28, 28))
    assert rows[0] <= up[0] < rows[1], "the strongest upward flow lies on what was moved up"


def test_no_movement_is_all_zero_and_no_error(landmarks) -> None:
    same = FacePicture(np.full((100, 100, 3), 90, np.uint8), landmarks)
    assert not flow_input(same, same).any()


def test_a_similarity_is_taken_off_and_a_local_movement_stays() -> None:
    y, x = np.mgrid[:60, :60].astype(np.float32)
    head = np.stack([1.5 + 0.01 * (x - 30) - 0.02 * (y - 30), -0.7 + 0.02 * (x - 30) + 0.01 * (y - 30)], axis=2)
    local = np.exp(-((x - 40) ** 2 + (y - 45) ** 2) / (2 * 4.0**2))
    left = without_similarity(head + np.stack([np.zeros_like(local), local], axis=2))
    assert np.abs(left[..., 1] - local).max() < 0.05 and np.abs(left[..., 0]).max() < 0.05


def test_strain_of_known_flows() -> None:
    y, x = np.mgrid[:10, :10].astype(np.float32)
    assert strain(np.stack([-0.1 * y, 0.1 * x], 2)) == pytest.approx(0, abs=1e-6), "a turn strains nothing"
    assert strain(np.stack([0.3 * x, 0 * y], 2)) == pytest.approx(0.3)
    assert strain(np.stack([0.2 * y, 0 * y], 2)) == pytest.approx(0.2 * 0.5**0.5)


# ---------------------------------------------------------------------------------------------- training


@pytest.fixture(scope="module")
def imitation(landmarks, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Four subjects in CASME II's manner, each with the three movements; and clips that cannot be used."""
    root = tmp_path_factory.mktemp("casme2")
    clips = []
    for subject in range(1, 5):
        for number, emotion in enumerate(MOVES):
            name = f"sub{subject:02d}_EP0{number + 1}"
            folder = root / f"sub{subject:02d}" / f"EP0{number + 1}"
            folder.mkdir(parents=True)
            for i, part in enumerate((0.0, 0.5, 0.9 + subject / 20)):
                image = moved(landmarks, emotion, part, (subject * i / 4, i / 3), noise=100 * subject + 10 * number + i)
                cv2.imwrite(str(folder / f"img{46 + i}.png"), image[..., ::-1])
            apex = None if subject == 4 and number == 0 else 2
            note = Annotation(f"sub{subject:02d}", name, "micro", 0, apex, 2, emotion)
            clips.append(Clip("casme2", f"sub{subject:02d}", name, folder, 200.0, (note,)))
    blank = root / "sub09/EP09"
    blank.mkdir(parents=True)
    for i in (1, 2, 3):
        cv2.imwrite(str(blank / f"img{i}.png"), np.full((200, 200, 3), 127, np.uint8))
    for name, emotion, apex in (("sub09_EP09", "happiness", 2), ("sub09_EP10", "others", 2), ("sub09_EP11", "surprise", 7),
                                ("sub09_EP12", "surprise", 0)):  # fmt: skip
        clips.append(Clip("casme2", "sub09", name, blank, 200.0, (Annotation("sub09", name, "micro", 0, apex, 2, emotion),)))
    return Dataset("casme2", root, tuple(clips))


def test_samples_and_what_is_left_out(imitation, tmp_path, caplog) -> None:
    data = read_samples([imitation], tmp_path)
    assert len(data.samples) == 12 and data.flows.shape == (12, 3, 28, 28)
    assert list(data.labels[:3]) == [1, 2, 0]
    assert data.left_out == {
        "casme2: no face was found at its onset or apex": 1,
        "casme2: not in the composite of MEGC 2019": 1,
        "casme2: a frame of it cannot be read": 1,
        "casme2: the apex is not after the onset": 1,
    }
    with caplog.at_level(logging.WARNING):
        again = read_samples([imitation], tmp_path)
    assert again.digest() == data.digest() and again.left_out == data.left_out
    assert "1 not used, casme2: no face" in caplog.text


def test_other_data_sets_go_by_the_three_class_scheme(imitation, tmp_path) -> None:
    """A long video with two expressions gives two samples; macro-expressions and other emotions none."""
    clip = imitation.clips[0]
    written = (("micro", "happiness"), ("macro", "happiness"), ("micro", "others"), ("micro", "disgust"))
    notes = tuple(Annotation("1", "long", kind, 0, 2, 2, emotion) for kind, emotion in written)  # type: ignore[arg-type]
    own = Dataset("mine", imitation.root, (Clip("mine", "1", "long", clip.path, 200.0, notes),))
    data = read_samples([own], tmp_path)
    assert [(s.clip, s.label) for s in data.samples] == [("long#1", 1), ("long#3", 0)]
    assert data.left_out == {"mine: its emotion is none of the three classes": 1}


def test_nothing_to_learn_from(imitation, tmp_path) -> None:
    with pytest.raises(UsageError, match="dataset check"):
        read_samples([Dataset("casme2", imitation.root, imitation.clips[-1:])], tmp_path)


@pytest.fixture(scope="module")
def trained(imitation, tmp_path_factory: pytest.TempPathFactory) -> tuple[MicroTraining, Any]:
    folder = tmp_path_factory.mktemp("training")
    training = MicroTraining(folder / "cache", folder / "micro.onnx", epochs=150, learning_rate=1e-3)
    return training, train_micro(training, [imitation])


def test_it_beats_chance_on_people_it_never_saw(trained) -> None:
    """Twelve planted movements of three kinds, each person left out once: chance is 1/3."""
    training, scores = trained
    assert scores.scores()["uf1"] > 0.7 and scores.scores()["uar"] > 0.7
    answers = read_log(training.cache / LOG)
    assert len(answers) == 12 and (training.cache / LOG).read_text().startswith("casme2 sub01\nsub01_EP01 1 ")


def test_the_file_says_what_it_is_and_recognises(trained, imitation, landmarks) -> None:
    training, scores = trained
    model = MicroModel.load(training.out)
    assert model.info.classes == ("negative", "positive", "surprise")
    assert "12 micro-expressions of 4 people (4 negative, 4 positive, 4 surprise)" in model.info.training_data
    assert model.info.scores["uf1"] == round(scores.scores()["uf1"], 4)
    still = FacePicture(moved(landmarks, "happiness", 0.0, noise=7), landmarks)
    found = [model.recognise(still, FacePicture(moved(landmarks, e, 1.0, noise=8), landmarks)) for e in MOVES]
    assert [f.label for f in found if f] == ["positive", "surprise", "negative"]
    assert all(f and f.source.startswith("STSTNet 1 ") and 1 / 3 < f.probability <= 1 for f in found)


def test_a_second_run_trains_only_the_missing_folds(trained, imitation, monkeypatch) -> None:
    training, scores = trained
    (folds,) = training.cache.glob("folds-*")
    assert len(list(folds.iterdir())) == 4
    kept = (folds / "casme2_3.json").read_bytes()
    (folds / "casme2_3.json").unlink()
    seeds: list[int] = []
    whole = training_module.fit
    monkeypatch.setattr(training_module, "fit", lambda *a, seed: (seeds.append(seed), whole(*a, seed=seed))[1])
    again = leave_one_out(read_samples([imitation], training.cache), training)
    assert len(seeds) == 1 and (folds / "casme2_3.json").read_bytes() == kept, "the same seed gives the same answers"
    assert np.array_equal(again.matrices, scores.matrices)


def test_a_fold_never_sees_its_person(monkeypatch, tmp_path) -> None:
    """Each sample's flow carries its number: what a fold is trained on is everybody else."""
    samples = tuple(Sample("smic", f"s{i // 2 + 1:02d}", f"c{i}", i % 3) for i in range(8))
    data = MicroData(samples, np.stack([np.full((3, 28, 28), i, np.float32) for i in range(8)]), {})
    seen: list[set[int]] = []

    def spy(flows: np.ndarray, labels: np.ndarray, training: MicroTraining, *, seed: int) -> STSTNet:
        seen.append({int(i) for i in flows[:, 0, 0, 0]})
        assert list(labels) == [int(i) % 3 for i in flows[:, 0, 0, 0]]
        return STSTNet().eval()

    monkeypatch.setattr(training_module, "fit", spy)
    leave_one_out(data, MicroTraining(tmp_path, tmp_path / "m.onnx"))
    assert seen == [set(range(8)) - {2 * k, 2 * k + 1} for k in range(4)]


def test_other_settings_do_not_use_the_folds_of_before(tmp_path) -> None:
    data = MicroData((Sample("smic", "s01", "c", 0),), np.zeros((1, 3, 28, 28), np.float32), {})
    digests = {MicroTraining(tmp_path, tmp_path / "m", **more).digest(data) for more in ({}, {"epochs": 5}, {"seed": 2})}
    other = MicroData(data.samples, data.flows + 1, {})
    assert len(digests | {MicroTraining(tmp_path, tmp_path / "m").digest(other)}) == 4


def test_the_network_has_the_papers_size() -> None:
    assert sum(p.numel() for p in STSTNet().parameters()) == 1683
    assert STSTNet().eval()(torch.zeros(2, 3, 28, 28)).shape == (2, 3)


# ------------------------------------------------------------------------------------------------ export


def metadata(**more: Any) -> MicroMetadata:
    return MicroMetadata(**{"name": "m", "version": "1", "classes": ("negative", "positive", "surprise"), "training_data": "none",
                            "licence": "none", **more})  # fmt: skip


def test_the_exported_file_gives_what_the_network_gives(tmp_path) -> None:
    torch.manual_seed(3)
    net = STSTNet()
    net(255 * torch.rand(64, 3, 28, 28))  # running statistics that are not 0 and 1
    export(net, metadata(), tmp_path / "m.onnx")
    flows = 255 * np.random.default_rng(0).random((7, 3, 28, 28), np.float32)
    with torch.no_grad():
        expected = torch.softmax(net.eval()(torch.from_numpy(flows)), 1).numpy()
    got = MicroModel.load(tmp_path / "m.onnx").probabilities(flows)
    assert got == pytest.approx(expected, abs=1e-5) and got.sum(axis=1) == pytest.approx(1)


def _no_metadata(path: Path) -> None:
    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.save(model, path)


def _other_kind(path: Path) -> None:
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {"streamfer": json.dumps({"schema": 1, "name": "x"})})
    onnx.save(model, path)


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        pytest.param(_no_metadata, ModelContract, "does not say what it is", id="no-metadata"),
        pytest.param(_other_kind, ModelContract, "is no micro-expression model", id="another-model"),
        pytest.param(lambda path: path.write_bytes(b"text"), ModelError, "cannot be loaded", id="no-onnx"),
        pytest.param(lambda path: path.unlink(), ModelMissing, "streamfer train micro", id="missing"),
    ],
)
def test_a_file_that_is_no_recogniser(tmp_path, spoil: Callable[[Path], None], error: type[Exception], words: str) -> None:
    export(STSTNet(), metadata(), tmp_path / "m.onnx")
    spoil(tmp_path / "m.onnx")
    with pytest.raises(error, match=words):
        MicroModel.load(tmp_path / "m.onnx")


# --------------------------------------------------------------------------------------------- in events


def test_micro_events_are_labelled(trained, tmp_path) -> None:
    sample = Path(__file__).parents[1] / "samples/portrait.mp4"
    options = ("--end", "7", "--backend", "none", "--to", "csv", "--quiet", "--micro-model", trained[0].out)
    code, out, errors = run_cli("analyze", sample, "-o", tmp_path, *options)
    assert code == 0, errors
    events = [json.loads(line) for line in out.splitlines()]
    assert {event["kind"] for event in events} == {"micro", "macro"}
    for event in events:
        assert (event["recognised"] is not None) == (event["kind"] == "micro")
    label = next(event["recognised"] for event in events if event["kind"] == "micro")
    run = json.loads((tmp_path / "portrait/run.json").read_text())
    assert label["label"] in run["micro_model"]["classes"] and run["micro_model"]["sha256"][:12] in label["source"]
    rows = list(csv.DictReader((tmp_path / "portrait/events.csv").read_text().splitlines()))
    assert [bool(row["recognised"]) for row in rows] == [row["kind"] == "micro" for row in rows]


def test_a_wrong_file_ends_the_run_before_it_begins(tmp_path) -> None:
    code, _, errors = run_cli("analyze", Path(__file__), "-o", tmp_path / "out", "--micro-model", tmp_path / "none.onnx")
    assert code == 5 and "none.onnx is not there" in errors and not (tmp_path / "out").exists()


def test_the_command(imitation, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(datasets, "load", lambda name, path: imitation, raising=False)
    out = tmp_path / "m.onnx"
    code, printed, errors = run_cli("train", "micro", "--dataset", "casme2", imitation.root, "--cache", tmp_path / "cache",
                                    "--out", out, "--epochs", "2")  # fmt: skip
    assert code == 0, errors
    assert printed.split() == [str(out), str(tmp_path / "cache" / LOG)]
    assert "fold 4/4, casme2/4" in errors and "UF1" in errors
