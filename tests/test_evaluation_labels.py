"""AU tables from annotations and results; questions about a data set's videos."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from streamfer.errors import UsageError
from streamfer.evaluation import labels, vqa
from streamfer.evaluation.outputs import compare
from streamfer.evaluation.recognition import read_list
from tests.evaluation_sets import clip, dataset, event, note, write


def coded(*tokens: tuple[int, str, tuple[float, float] | None, bool]) -> SimpleNamespace:
    """As datasets/aus.py reads a coder's string: AU, side, range of intensity, doubtful."""
    return SimpleNamespace(
        tokens=[SimpleNamespace(au=au, side=side, intensity=letter, doubtful=doubt) for au, side, letter, doubt in tokens]
    )


def test_au_table_by_hand(tmp_path: Path) -> None:
    made = dataset(
        clip("s1_1", note(10, 19, aus=coded((12, "left", (2, 2), False), (4, "both", None, False)))),
        clip("s2_1", note(10, 19, aus=coded((4, "both", (1, 2), False), (17, "both", None, True)))),
        clip("s3_1", note(10, 19, aus=coded()), note(40, 49, aus=None)),  # "?" and no column: unknown, not "no AU"
    )
    write(tmp_path, "s1_1", event(15, 25, aus="12:1.5"), event(19, 30, aus="12:0.5 1:2"), event(20, 30, aus="4:3"))
    write(tmp_path, "s2_1")
    write(tmp_path, "s3_1", event(10, 19, aus="4:3"))
    table, notes = labels.au_table(compare(made, tmp_path))
    assert table.aus == (4, 12)  # those that are certainly there somewhere
    assert table.people == ("own/1", "own/2")
    assert table.predicted.tolist() == [[0, 1.5], [0, 0]]  # of events that share a frame, the strongest
    assert table.present.tolist() == [[1, 1], [1, 0]]
    assert table.intensity is not None
    np.testing.assert_equal(table.intensity, [[math.nan, 2], [1.5, 0]])  # no letter is unknown, no AU is 0
    assert notes == ["2 annotations whose action units are unknown are left out"]
    fixed, _ = labels.au_table(compare(made, tmp_path), only=(1, 17))
    np.testing.assert_equal(fixed.present, [[0, 0], [0, math.nan]])  # doubtful is unknown
    assert fixed.predicted[0].tolist() == [2, 0]
    assert fixed.intensity is None


def test_intensities_of_frames(tmp_path: Path) -> None:
    made = dataset(clip("s1_1", note(1, 2, aus=coded((12, "both", None, False)))))
    folder = write(tmp_path, "s1_1")
    (folder / "faces.csv").write_text(
        "frame,success,AU04_r,AU12_r,AU12_c,AU12_L_r\n0,1,5,5,1,5\n1,1,0.2,1.1,1,9\n2,0,,,,\n3,1,5,5,1,5\n"
    )
    table, _ = labels.au_table(compare(made, tmp_path), only=(4, 12, 17), frames=True)
    assert table.predicted.tolist() == [[0.2, 1.1, 0]]


def test_no_action_units_at_all(tmp_path: Path) -> None:
    write(tmp_path, "s1_1")
    with pytest.raises(UsageError, match="no annotation says which action units it has"):
        labels.au_table(compare(dataset(clip("s1_1", note(1, 2))), tmp_path))


def test_questions_about_long_videos(tmp_path: Path) -> None:
    made = dataset(clip("s1_1", note(40, 99, "macro", aus=coded((12, "both", None, False))), note(10, 19)))
    write(tmp_path, "s1_1", event(10, 19, aus="12:1"), event(60, 69))
    asked, answers, notes = labels.questions_and_answers(tmp_path, made, None, long_videos=True, partial=False)
    told = [(q.answer, answers[q.id]) for q in asked]
    assert told == [  # how many, micro, macro, AUs, type of the first and of the second
        ("2", "2"), ("1", "2"), ("1", "0"), ("lip corner puller", "lip corner puller"),
        ("micro-expression", "micro-expression"), ("macro-expression", "micro-expression"),
    ]  # fmt: skip
    scores, counts = labels.vqa_scores(asked, answers)
    assert scores["overall"]["right"].value == pytest.approx(3 / 6)
    assert counts == {"questions": 6, "with a known answer": 6, "videos": 1}
    assert notes == []


def test_questions_of_a_challenge(tmp_path: Path) -> None:
    write(tmp_path / "out", "SAMM-1", event(10, 19, aus="12:1"), label="happiness")
    path = tmp_path / "q.jsonl"
    rows = [("t_1", "SAMM-1", vqa.Q_COARSE), ("t_2", "SAMM-2", vqa.Q_FINE)]
    path.write_text("".join(json.dumps({"video_id": i, "video": v, "question": q}) + "\n" for i, v, q in rows))
    with pytest.raises(UsageError, match=r"1 videos of the questions have no results in .*SAMM-2 was not analysed"):
        labels.questions_and_answers(tmp_path / "out", None, path, False, partial=False)
    asked, answers, notes = labels.questions_and_answers(tmp_path / "out", None, path, False, partial=True)
    assert answers == {"t_1": "positive", "t_2": "others"}
    assert notes == ["SAMM-2 was not analysed"]
    vqa.write_answers(tmp_path / "a.jsonl", [(asked[0], "positive")])
    _, told, notes = labels.questions_and_answers(tmp_path / "a.jsonl", None, path, False, partial=False)
    assert told == {"t_1": "positive", "t_2": ""}
    assert notes == [f"1 questions are not answered in {tmp_path / 'a.jsonl'}; they count as empty answers"]
    with pytest.raises(UsageError, match="give the questions with --questions FILE, or a data set"):
        labels.questions_and_answers(tmp_path, None, None, False, False)


def test_classes_of_a_data_set(tmp_path: Path) -> None:
    assert labels.truth_class("casme2", 3)("sadness") is None
    assert labels.truth_class("samm", 3)("Sadness") == "negative"
    assert labels.truth_class("samm", 5)("Contempt") == "contempt"
    write(tmp_path, "s1_1", event(10, 19), label="sadness")
    write(tmp_path, "s1_2", event(10, 19), label="contempt")
    compared = compare(dataset(clip("s1_1", note(10, 19)), clip("s1_2", note(10, 19))), tmp_path)
    sad, scornful = (c.events[0] for c in compared.clips)
    assert sad is not None and scornful is not None
    assert labels.given_class(3, "casme2")(sad) == "negative"  # an answer, whatever the coders left out
    assert labels.given_class(5, "samm")(scornful) == "contempt"
    assert labels.given_class(5, "casme2")(scornful) is None


def test_the_challenge_s_list_finds_our_clips(tmp_path: Path) -> None:
    """As the list writes them and as the loaders name them; the list's class decides, not the table's emotion."""
    parts = {
        "casme2": [("sub01", "sub01_EP02_01f", "sadness"), ("sub02", "sub02_EP02_01f", "disgust")],
        "smic_hs": [("s01", "s01_ne_01", None)], "samm": [("006", "006_1_2", "happiness"), ("007", "007_1_2", None)],
    }  # fmt: skip
    compared = []
    for name, clips in parts.items():
        for _, clip_name, label in clips:
            write(tmp_path / name, clip_name, *([event(10, 19)] if label else []), label=label)
        made = dataset(*(clip(c, note(10, 19, emotion="others"), subject=who) for who, c, _ in clips), name=name)
        compared.append(compare(made, tmp_path / name))
    path = tmp_path / "combined_3class_gt.csv"
    path.write_text("casme2,sub01,EP02_01f,1\ncasme2,sub02,EP02_01f,0\nsmic,s01,s01_ne_01,0\nsamm,6,006_1_2,0\n")
    answers = labels.composite_answers(compared, read_list(path))
    assert [(a.sample.dataset, a.sample.label, a.given) for a in answers] == [
        ("casme2", 1, 0), ("casme2", 0, 0), ("smic", 0, None), ("samm", 0, 1),
    ]  # fmt: skip
    path.write_text("samm,6,006_1_9,0\n")
    with pytest.raises(UsageError, match=r"1 clips of the list are not among the results, such as 6 006_1_9"):
        labels.composite_answers(compared, read_list(path))
