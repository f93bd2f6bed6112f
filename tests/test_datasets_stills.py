"""Data sets of single faces: each imitation read back with exactly its planted defects; the other layouts that circulate."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from streamfer import datasets
from streamfer.action_units import facs
from streamfer.cli import cli
from streamfer.datasets import still_aus, still_demo, still_labels, stills
from streamfer.datasets.still_pictures import pictures, pixels
from streamfer.errors import SourceMissing, SourceUnreadable, UsageError

NAMES = [*stills.LOADERS]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Counter[str]]]:
    base = tmp_path_factory.mktemp("stills")
    return {name: (base / name, still_demo.make(name, base / name, subjects=2).rules) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_exactly_the_planted_defects(name: str, made: dict[str, tuple[Path, Counter[str]]]) -> None:
    root, rules = made[name]
    read = stills.load(name, root)
    assert rules and Counter(r.rule for r in read.remarks) == rules


@pytest.mark.parametrize("name", NAMES)
def test_a_clean_imitation_needs_nothing_and_every_picture_can_be_read(name: str, tmp_path: Path) -> None:
    still_demo.make(name, tmp_path / "set", subjects=1, quirks=False)
    read = stills.load(name, tmp_path / "set")
    assert {r.rule for r in read.remarks} <= {"not_in_classes"}
    seen = list(pictures(read.stills))
    assert [row for row, _ in seen] == list(range(len(read.stills)))
    assert all(image is not None and image.ndim == 3 and image.dtype == np.uint8 for _, image in seen)
    if name in stills.CODED:
        assert all(still.aus and max(still.aus.values()) <= 5 for still in read.stills)
    else:
        assert {still.label for still in read.stills} == set(stills.CLASSES[name])


def test_disfa_frames_count_from_one_and_labels_stay_with_their_frame(
    made: dict[str, tuple[Path, Counter[str]]],
) -> None:
    root, _ = made["disfa"]
    read = stills.load("disfa", root).stills
    own = [still for still in read if still.subject == "SN001"]
    written = dict(line.split(",") for line in (root / "ActionUnit_Labels/SN001/SN001_au12.txt").read_text().split())
    assert {
        str(still.frame + 1): str(int(still.aus["AU12"])) for still in own if still.frame is not None and still.aus
    } == written
    assert "AU04" not in own[3].aus and own[0].fold == 3  # type: ignore[operator]


def test_disfa_from_folders_of_frames_whatever_their_first_number(
    made: dict[str, tuple[Path, Counter[str]]], tmp_path: Path
) -> None:
    root, _ = made["disfa"]
    (tmp_path / "ActionUnit_Labels").symlink_to(root / "ActionUnit_Labels")
    for subject, first in (("SN001", 0), ("SN002", 1)):
        folder = tmp_path / "Images" / subject
        folder.mkdir(parents=True)
        for k in range(still_demo.FRAMES):
            cv2.imwrite(str(folder / f"{first + k}.png"), np.full((4, 4, 3), k, np.uint8))
    read = stills.load("disfa", tmp_path).stills
    for subject in ("SN001", "SN002"):
        shown = [
            int(image[0, 0, 0]) for _, image in pictures([s for s in read if s.subject == subject]) if image is not None
        ]
        assert shown == list(range(still_demo.FRAMES))


def test_bp4d_keeps_occurrence_beside_intensity_and_what_was_not_coded_unknown(
    made: dict[str, tuple[Path, Counter[str]]],
) -> None:
    first = stills.load("bp4d", made["bp4d"][0]).stills[0]
    assert first.aus is not None and first.present is not None
    assert "AU06" not in first.aus and "AU06" in first.present  # planted: 9
    assert set(first.aus) <= set(first.present) and "AU03" not in first.present and "AU05" not in first.present


@pytest.mark.parametrize("people", [still_aus.FOLDS["disfa"], still_aus.FOLDS["bp4d"]], ids=["disfa 27", "bp4d 41"])
def test_folds_part_the_published_number_of_people(people: tuple[str, str, str]) -> None:
    everybody = " ".join(people).split()
    assert len(everybody) == len(set(everybody)) == (27 if everybody[0].startswith("SN") else 41)


@given(st.lists(st.floats(0, 1), min_size=24, max_size=24))
def test_feafa_is_five_times_its_movements_where_there_is_a_counterpart(values: list[float]) -> None:
    aus = still_aus.feafa_aus(values)
    at = facs.FEAFA.index
    assert (
        aus["AU12_L"] == 5 * values[at("left lip corner pull")]
        and aus["AU12_R"] == 5 * values[at("right lip corner pull")]
    )
    assert aus["AU01_L"] == aus["AU02_L"] == 5 * values[at("left brow raise")]
    assert aus["AU28"] == 5 * max(values[at("upper lip suck")], values[at("lower lip suck")])
    assert not {facs.parse(name)[0] for name in aus} & {6, 7, 14, 15, 23, 24, 25, 27, 45, 46}


@pytest.mark.parametrize(
    ("number", "label"),
    [(1, "surprise"), (2, "fear"), (3, "disgust"), (4, "happiness"), (5, "sadness"), (6, "anger"), (7, "neutral")],
)
def test_rafdb_numbers(number: int, label: str, tmp_path: Path) -> None:
    (tmp_path / "list_patition_label.txt").write_text(f"test_0001.jpg {number}\n")
    cv2.imwrite(str(tmp_path / "test_0001_aligned.jpg"), np.zeros((4, 4, 3), np.uint8))
    (only,) = stills.load("rafdb", tmp_path).stills
    assert (only.label, only.split) == (label, "test")


AFFECTNET = [
    (0, "neutral"),
    (1, "happiness"),
    (2, "sadness"),
    (3, "surprise"),
    (4, "fear"),
    (5, "disgust"),
    (6, "anger"),
    (7, "contempt"),
]


@pytest.mark.parametrize("form", ["arrays", "numbered", "named"])
def test_affectnet_in_the_other_layouts(form: str, tmp_path: Path) -> None:
    for number, label in AFFECTNET:
        if form == "arrays":
            folder, name = tmp_path / "val_set" / "images", f"{number + 5}.jpg"
            (tmp_path / "val_set" / "annotations").mkdir(parents=True, exist_ok=True)
            np.save(
                tmp_path / "val_set" / "annotations" / f"{number + 5}_exp.npy", np.array(str(number))
            )  # as released: text
        else:
            folder, name = tmp_path / "val" / (str(number) if form == "numbered" else label.upper()), f"{label}.jpg"
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), np.full((4, 4, 3), 20 * number, np.uint8))
    read = stills.load("affectnet8", tmp_path)
    shown = {
        s.label: round(int(image[0, 0, 0]) / 20)
        for s, (_, image) in zip(read.stills, pictures(read.stills), strict=True)
        if image is not None
    }
    assert shown == {label: number for number, label in AFFECTNET}
    assert {s.split for s in read.stills} == {"valid"}
    assert {r.rule for r in read.remarks} == ({"numbered_folders"} if form == "numbered" else set())
    assert len(stills.load("affectnet7", tmp_path).stills) == 7


def test_ferplus_labels_are_the_majority_and_an_npz_says_the_same(
    made: dict[str, tuple[Path, Counter[str]]], tmp_path: Path
) -> None:
    root, _ = made["ferplus"]
    read = stills.load("fer+", root).part("test")
    images = [image[..., 0] for _, image in pictures(read) if image is not None]
    np.savez(tmp_path / "fer_test.npz", images=np.stack(images), votes=np.array([s.votes for s in read]))
    again = stills.load("ferplus", tmp_path / "fer_test.npz").stills
    assert [(s.label, s.split, s.votes) for s in again] == [(s.label, s.split, s.votes) for s in read]
    np.testing.assert_array_equal(np.stack([i for _, i in pictures(again) if i is not None])[..., 0], np.stack(images))


def test_ferplus_tables_of_different_length_are_refused(
    made: dict[str, tuple[Path, Counter[str]]], tmp_path: Path
) -> None:
    root, _ = made["ferplus"]
    (tmp_path / "fer2013new.csv").write_bytes((root / "fer2013new.csv").read_bytes())
    lines = (root / "fer2013.csv").read_text().splitlines()
    (tmp_path / "fer2013.csv").write_text("\n".join(lines[:-1]))
    with pytest.raises(SourceUnreadable, match=r"24 rows and fer2013\.csv 23"):
        stills.load("ferplus", tmp_path)


def test_a_csv_that_is_none_is_refused_with_its_row(tmp_path: Path) -> None:
    (tmp_path / "training.csv").write_text("subDirectory_filePath,expression\na.jpg,1\n" + "x" * 200_000 + ",2\n")
    with pytest.raises(SourceUnreadable, match=r"training\.csv: is no CSV table from row 3 on"):
        stills.load("affectnet8", tmp_path)


def test_pictures_that_cannot_be_read_keep_their_place(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    cv2.imwrite(str(tmp_path / "whole.png"), np.zeros((4, 4, 3), np.uint8))
    np.savez(tmp_path / "f.npz", images=np.zeros((2, 48, 48), np.uint8))
    rows = [
        stills.Still(tmp_path / "broken.jpg"),
        stills.Still(tmp_path / "whole.png"),
        stills.Still(tmp_path / "f.npz", frame=7),
    ]
    assert [(row, image is None) for row, image in pictures(rows)] == [(0, True), (1, False), (2, True)]


@given(st.text(max_size=40))
def test_pixels_never_raise(text: str) -> None:
    assert pixels(text) is None


@given(st.lists(st.text(max_size=8), min_size=4, max_size=4))
def test_boxes_are_whole_or_none(cells: list[str]) -> None:
    box = still_labels._box(cells)
    assert box is None or min(box[2:]) > 0


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_folder_says_what_was_expected_and_seen(name: str, tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with pytest.raises(SourceMissing) as caught:
        stills.load(name, tmp_path)
    assert "holiday.jpg" in str(caught.value) and str(tmp_path) in str(caught.value)


def test_unknown_parts_and_names(made: dict[str, tuple[Path, Counter[str]]], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="splits there: train, valid"):
        stills.load("affectnet", made["affectnet8"][0]).part("test")
    with pytest.raises(UsageError, match="dataset check disfa"):
        datasets.load("DISFA", tmp_path)
    with pytest.raises(UsageError, match="did you mean"):
        datasets.load("casme-2", tmp_path)


def test_commands(tmp_path: Path) -> None:
    run = CliRunner()
    listed = run.invoke(cli, ["dataset", "list"]).output
    assert all(f"{name} " in listed for name in NAMES)
    drawn = run.invoke(cli, ["dataset", "demo", "raf-db", str(tmp_path / "set")])
    assert drawn.exit_code == 0 and "21 pictures" in drawn.output, drawn.output
    told = run.invoke(cli, ["dataset", "check", "rafdb", str(tmp_path / "set"), "--rows"])
    assert (
        told.exit_code == 0
        and "train: 14 (published: 12271)" in told.output
        and "class 8 is none of 1-7" in told.output
    )
    as_json = json.loads(run.invoke(cli, ["dataset", "check", "rafdb", str(tmp_path / "set"), "--json"]).output)
    assert as_json["labels"]["fear"] == {"here": 3, "published": 355}
    rated = run.invoke(cli, ["dataset", "demo", "disfa", str(tmp_path / "d"), "--fps", "60"])
    assert isinstance(rated.exception, UsageError) and "no frame rate" in str(rated.exception)
