"""Scores on data sets of single faces: made-up readings with known answers, and the commands on imitations."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from streamfer.action_units.contract import CropInput
from streamfer.cli import cli
from streamfer.datasets import still_demo, stills
from streamfer.datasets.stills import Still, StillSet
from streamfer.errors import UsageError
from streamfer.evaluation import stills as scores
from streamfer.evaluation.reports import Report
from streamfer.records import LABELS
from streamfer.training import still_faces
from streamfer.training.still_faces import StillFace, faces


class Oracle:
    """Stands for a model: a face's red level says its class, its green level the intensity of AU12."""

    class Info:
        name, version, path = "oracle", "1", "oracle.onnx"

    info = Info()
    names = ("AU04", "AU12_L", "AU12_R")
    needs_crop = True
    crop_input = CropInput(size_px=16, ied_px=4.0)

    def express(self, landmarks: Any, crops: Any, *, mirror: bool = False) -> np.ndarray:
        return np.eye(len(LABELS))[[int(c[0, 0, 0]) for c in crops]] + 0.1 * np.eye(len(LABELS))[LABELS.index("contempt")]

    def predict(self, landmarks: Any, crops: Any) -> np.ndarray:
        strength = np.array([float(c[0, 0, 1]) for c in crops])
        return np.stack([np.zeros(len(crops)), strength, strength / 2], axis=1)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[StillFace]:
    """What `faces` gives; tests fill it."""
    given: list[StillFace] = []
    monkeypatch.setattr(scores, "faces", lambda rows: iter(given))
    monkeypatch.setattr(StillFace, "crop", lambda self, size, ied: self.picture[:1, :1])
    return given


def face(row: int, red: int, green: int = 0, mesh: bool = True) -> StillFace:
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[..., 0], picture[..., 1] = red, green
    return StillFace(row, picture, np.zeros((478, 3), np.float32) if mesh else None)


def value(report: Report, group: str, measure: str) -> float:
    return next(row.value for row in report.rows if (row.group, row.measure) == (group, measure))


def test_accuracy_recall_and_unreadable_pictures(seen: list[StillFace]) -> None:
    labels = ["neutral", "neutral", "anger", "anger", "fear"]
    rows = [Still(Path(f"{i}.jpg"), label=label) for i, label in enumerate(labels)]
    said = ["neutral", "sadness", "anger", "anger", ""]
    seen += [face(i, LABELS.index(s), mesh=i != 1) if s else StillFace(i, None, None) for i, s in enumerate(said)]
    report = scores.expressions(StillSet("rafdb", Path("x"), tuple(rows)), rows, Oracle(), False, "test part")  # type: ignore[arg-type]
    assert value(report, "all", "accuracy") == pytest.approx(3 / 5)
    assert value(report, "all", "mean recall") == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert report.counts["without landmarks"] == 1
    assert "1 pictures cannot be read" in report.notes[0]
    place = report.classes.index("fear")
    assert report.confusion[place][-1] == 1 and sum(map(sum, report.confusion)) == 5


def test_a_class_that_the_set_lacks_is_never_named(seen: list[StillFace]) -> None:
    """The model's likeliest is contempt; RAF-DB has none, and the next likeliest counts."""
    rows = [Still(Path("0.jpg"), label="neutral")]
    seen.append(face(0, LABELS.index("contempt")))
    of_seven = scores.expressions(StillSet("rafdb", Path("x"), tuple(rows)), rows, Oracle(), False, "")  # type: ignore[arg-type]
    assert len(of_seven.classes) == 7 and value(of_seven, "all", "accuracy") == 1
    of_eight = scores.expressions(StillSet("affectnet8", Path("x"), tuple(rows)), rows, Oracle(), False, "")  # type: ignore[arg-type]
    assert math.isnan(value(of_eight, "all", "accuracy")) or value(of_eight, "all", "accuracy") == 0


def au_report(name: str, rows: list[Still], threshold: float | None = None) -> Report:
    return scores.action_units(StillSet(name, Path("x"), tuple(rows)), rows, Oracle(), threshold, "")  # type: ignore[arg-type]


def test_aus_have_the_fields_threshold_and_the_stronger_side(seen: list[StillFace]) -> None:
    truth = [0.0, 1.0, 2.0, 5.0]
    rows = [Still(Path(f"{i}.jpg"), f"SN{i % 2:03d}", aus={"AU12": t}) for i, t in enumerate(truth)]
    seen += [face(i, 0, green) for i, green in enumerate((0, 2, 2, 5))]
    report = au_report("disfa", rows)
    assert value(report, "AU12", "mae") == pytest.approx(1 / 4)
    assert value(report, "AU12", "f1") == pytest.approx(2 * 2 / (2 * 2 + 1))  # the second is predicted at 2 and is 1
    assert value(report, "mean", "f1") == value(report, "AU12", "f1")
    x, y = np.array([0, 2, 2, 5.0]), np.array(truth)
    covariance = ((x - x.mean()) * (y - y.mean())).sum()
    assert value(report, "AU12", "icc") == pytest.approx(2 * covariance / (x.var() * 4 + y.var() * 4))


def test_what_was_not_coded_is_left_out_and_what_is_not_read_is_named(seen: list[StillFace]) -> None:
    rows = [Still(Path("0.jpg"), "F001", present={"AU12": True, "AU23": True}), Still(Path("1.jpg"), "F002", present={"AU23": False}),
            Still(Path("2.jpg"), "F003", present={"AU12": False})]  # fmt: skip
    seen += [face(0, 0, 3), face(1, 0, 3), StillFace(2, np.zeros((8, 8, 3), np.uint8), None)]
    report = au_report("bp4d", rows)
    assert value(report, "AU12", "f1") == 1  # the second face was not coded for it, the third not found
    assert not any(row.measure == "mae" and row.group == "AU12" for row in report.rows)
    assert report.notes == (
        "1 pictures in which no face was found are left out",
        "coded, but not read by this model and not scored: AU23",
    )


def test_occurrence_is_as_coded_whatever_the_intensity(seen: list[StillFace]) -> None:
    rows = [Still(Path("0.jpg"), "F001", aus={"AU12": 1.0}, present={"AU12": False})]
    seen.append(face(0, 0, 0))
    assert all("there in 0 of 1" in row.of for row in au_report("bp4d", rows).rows if row.group == "AU12")


@pytest.mark.parametrize(("name", "function"), [("disfa", scores.expressions), ("rafdb", scores.action_units)])
def test_the_wrong_kind_of_data_set_says_which_command(name: str, function: Any) -> None:
    rows = (Still(Path("0.jpg")),)
    with pytest.raises(UsageError, match="use `streamfer evaluate"):
        function(StillSet(name, Path("x"), rows), rows, Oracle(), None, "")


def test_the_product_finds_the_portrait_small_large_boxed_and_in_a_video(tmp_path: Path) -> None:
    still_demo.make("disfa", tmp_path / "disfa", subjects=1, quirks=False)
    still_demo.make("rafdb", tmp_path / "rafdb", quirks=False)
    still_demo.make("affectnet8", tmp_path / "affectnet", quirks=False)
    still_demo.make("ferplus", tmp_path / "ferplus", quirks=False)
    for name, scale in (("disfa", 1.0), ("rafdb", 100 / 180), ("affectnet", 240 / 360), ("ferplus", 48 / 180)):
        rows = stills.load(name, tmp_path / name).stills[:3]
        found = list(faces(rows))
        assert [f.row for f in found] == [0, 1, 2]
        for one in found:
            assert one.picture is not None and one.landmarks is not None
            height, width = one.picture.shape[:2]
            eyes = one.landmarks[[133, 362], :2]
            assert (eyes > 0).all() and (eyes < [width, height]).all()
            assert np.hypot(*(eyes[1] - eyes[0])) == pytest.approx(23 * scale, rel=0.2)  # 23 px in the portrait itself
            assert one.crop(56, 14.0).shape == (56, 56, 3)


def test_a_face_box_is_cut_out_with_room_and_one_outside_is_not() -> None:
    picture = np.zeros((100, 200, 3), np.uint8)
    assert still_faces._boxed(picture, (40, 20, 40, 40)).shape == (60, 60, 3)
    assert still_faces._boxed(picture, (190, 90, 400, 400)).shape[0] <= 100
    assert still_faces._boxed(picture, (500, 500, 10, 10)).shape == picture.shape


def test_photographs_are_read_as_key_moments_are_unless_asked_otherwise(tmp_path: Path) -> None:
    votes = np.zeros((6, 10), np.int64)
    votes[np.arange(6), np.arange(6)] = 10
    np.savez(tmp_path / "faces.npz", images=np.random.default_rng(1).integers(0, 256, (6, 48, 48), dtype=np.uint8), votes=votes)
    told = []
    for option in ([], ["--no-mirror"]):
        done = CliRunner().invoke(cli, ["evaluate", "fer", str(tmp_path / "faces.npz"), "--json", *option])
        assert done.exit_code == 0, done.output
        told.append(json.loads(done.output))
    assert [one["mirrored"] for one in told] == [True, False]
    assert all(one["model"].startswith("streamfer perception") for one in told)


def test_commands(tmp_path: Path) -> None:
    still_demo.make("disfa", tmp_path / "disfa", subjects=2)
    run = CliRunner()
    asked = ["evaluate", "aus", "--dataset", "disfa", str(tmp_path / "disfa"), "--model", "landmarks", "--step", "5", "--json"]
    done = run.invoke(cli, asked)
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert told["counts"] == {"frames": 4, "subjects": 2, "AUs": 12}
    assert {(s["group"], s["measure"]) for s in told["scores"]} >= {("mean", "icc"), ("as reported", "f1"), ("AU12", "mae")}
    for wrong, message in (
        (["evaluate", "aus", "--dataset", "disfa", "x"], "give --model"),
        (["evaluate", "aus", "--dataset", "casme2", "x"], "has clips"),
        (["evaluate", "fer", "--model", "x"], "either an npz or --dataset"),
    ):
        refused = run.invoke(cli, wrong)
        assert isinstance(refused.exception, UsageError) and message in str(refused.exception)
