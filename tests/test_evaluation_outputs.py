"""A data set beside its results: frame numbers, missing clips, submissions, thresholds without a leak, the command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamfer.cli import main
from streamfer.errors import UsageError
from streamfer.evaluation import thresholds
from streamfer.evaluation.outputs import Compared, Found, compare, compare_spots
from streamfer.evaluation.spotting import Counts, Spot, evaluate
from streamfer.evaluation.submission import log_lines, read_csv, write_csv
from streamfer.records import Moment
from tests.evaluation_sets import clip, dataset, event, note, write


def test_frame_numbers_are_the_data_set_s(tmp_path: Path) -> None:
    made = dataset(clip("a_1", note(10, 19, apex=14)), clip("b_1", note(0, 9), first=46), clip("c_1", note(0, 9), first=None))
    for name in ("a_1", "b_1", "c_1"):
        write(tmp_path, name, event(10, 19, apex=15))
    compared = compare(made, tmp_path)
    a, b, c = compared.clips
    assert [(s.onset.frame, s.apex.frame, s.offset.frame) for s in a.truths] == [(11, 15, 20)]  # type: ignore[union-attr]
    assert [(s.onset.frame, s.apex.frame, s.offset.frame) for s in a.predictions] == [(11, 16, 20)]  # type: ignore[union-attr]
    assert (b.truths[0].onset.frame, b.predictions[0].onset.frame) == (46, 56)
    assert c.predictions[0].onset.frame == 11  # a video's frames count from 1
    assert a.predictions[0].onset.time_s == pytest.approx(10 / 30)


def test_a_missing_picture_is_time_that_passed(tmp_path: Path) -> None:
    """Files 1-5 and 9-14: the sixth file is number 9, and the program's frame 8 is that file too."""
    frames = tmp_path / "frames"
    frames.mkdir()
    for number in [*range(1, 6), *range(9, 15)]:
        (frames / f"img{number}.jpg").touch()
    made = dataset(clip("a_1", note(5, 10), path=frames))
    write(tmp_path / "out", "a_1", event(8, 13), missing=3)
    found = compare(made, tmp_path / "out").clips[0]
    assert (found.truths[0].onset.frame, found.truths[0].offset.frame) == (9, 14)
    assert (found.predictions[0].onset.frame, found.predictions[0].offset.frame) == (9, 14)
    spot = Spot("a_1", "micro", Moment(9, 0), Moment(14, 0))
    assert compare_spots(made, [spot]).clips[0].truths[0].onset.frame == 9


@pytest.mark.parametrize("status", ["running", "failed", "interrupted", None])
def test_a_clip_that_was_not_analysed_is_no_clip_without_events(tmp_path: Path, status: str | None) -> None:
    made = dataset(clip("a_1", note(10, 19)), clip("b_1", note(10, 19)))
    write(tmp_path, "a_1", event(10, 19))
    if status:
        write(tmp_path, "b_1", status=status)
    with pytest.raises(UsageError, match=r"1 of 2 clips are not analysed to their end \(b_1\); go on with .* --resume"):
        compare(made, tmp_path)
    compared = compare(made, tmp_path, partial=True)
    assert compared.missing == ("b_1",)
    assert len(compared.truths) == 1


def test_the_wrong_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none of the 1 clips of own is in it"):
        compare(dataset(clip("a_1")), tmp_path, partial=True)


def test_unscorable_annotations_are_counted(tmp_path: Path) -> None:
    made = dataset(clip("a_1", note(10, None), note(None, 20), note(20, 10), note(30, 30)))
    write(tmp_path, "a_1")
    compared = compare(made, tmp_path)
    assert (compared.unscorable, len(compared.truths)) == (3, 1)
    assert [n.onset for n in compared.clips[0].annotations] == [30]


# ------------------------------------------------------------------------------------------ submission


def spot(onset: int, offset: int, kind: str = "micro", video: str = "v") -> Spot:
    return Spot(video, kind, Moment(onset, 0.0), Moment(offset, 0.0))  # type: ignore[arg-type]


def test_submission(tmp_path: Path) -> None:
    spots = [spot(30, 80, "macro", "b_1"), spot(11, 20, video="b_1"), spot(5, 9, video="a_1")]
    assert write_csv(tmp_path / "s.csv", spots) == 3
    assert (tmp_path / "s.csv").read_text() == (
        "vid,pred_onset,pred_offset,type\na_1,5,9,me\nb_1,11,20,me\nb_1,30,80,mae\n"
    )
    assert sorted(read_csv(tmp_path / "s.csv"), key=str) == sorted(spots, key=str)


BAD = {
    "header": ("video,on,off,type\n", "the first line must be vid,pred_onset,pred_offset,type"),
    "empty": ("", "the first line must be"),
    "type": ("vid,pred_onset,pred_offset,type\na,1,2,micro\n", "line 2: 'a,1,2,micro' is not"),
    "float": ("vid,pred_onset,pred_offset,type\na,1.5,2,me\n", "line 2"),
    "order": ("vid,pred_onset,pred_offset,type\na,1,2,me\na,9,5,me\n", "line 3"),
    "columns": ("vid,pred_onset,pred_offset,type\na,1,2\n", "line 2"),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD)
def test_bad_submission(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_csv(tmp_path / "s.csv")


def test_submission_of_another_data_set() -> None:
    with pytest.raises(UsageError, match="video 'x_9' is not in the data set own; its clips are called such as a_1"):
        compare_spots(dataset(clip("a_1")), [spot(1, 2, video="x_9")])


def test_log() -> None:
    truths = [spot(121, 160, video="006_1"), spot(300, 340, video="006_1")]
    found = [spot(118, 158, video="006_1"), spot(500, 520, video="006_1")]
    assert log_lines(evaluate(truths, found)) == [
        "006_1  121 160 118 158 TP", "006_1  300 340 - - FN", "006_1  - - 500 520 FP",
    ]  # fmt: skip


# ------------------------------------------------------------------------------------------ thresholds


def found(subject: str, *events: tuple[int, float, str], truths: tuple[int, ...] = ()) -> Found:
    """Ten-frame intervals: (onset, score, kind)."""
    name = f"{subject}_1"
    spots = tuple(replace(spot(onset, onset + 9, kind, name), score=score) for onset, score, kind in events)
    true = tuple(spot(onset, onset + 9, video=name) for onset in truths)
    own = clip(name, subject=subject)
    return Found(own, true, tuple(note(t.onset.frame, t.offset.frame) for t in true), spots, (None,) * len(spots))


def test_fixed_threshold_keeps_what_scores_as_much() -> None:
    compared = Compared("own", (found("a", (0, 0.2, "micro"), (20, 0.6, "micro"), (40, 0.6, "macro")),))
    assert len(thresholds.fixed(compared).apply(compared).predictions) == 3
    chosen = thresholds.fixed(compared, 0.6)
    assert [p.onset.frame for p in chosen.apply(compared).predictions] == [20, 40]
    assert chosen.sentence.startswith("fixed threshold, events with a score of 0.6 or more count")


def test_each_subject_gets_the_threshold_of_the_others() -> None:
    # at b and c false alarms score .30 and hits .70: the lowest best is .31. At a hits score .10: b's and c's choice then
    # is between keeping a's hits (threshold 0) and dropping one false alarm
    hits_low = found("a", (0, 0.1, "micro"), truths=(0,))
    b, c = (found(s, (0, 0.7, "micro"), (50, 0.3, "micro"), truths=(0,)) for s in "bc")
    chosen = thresholds.choose(Compared("own", (hits_low, b, c)))
    assert chosen.by_person["own/a"]["micro"] == 0.31
    # for b: others are a and c. Threshold 0: A 2, N 3, M 2 -> .8; .31: A 1, N 1, M 2 -> 2/3
    assert chosen.by_person["own/b"]["micro"] == chosen.by_person["own/c"]["micro"] == 0.0
    assert chosen.by_person["own/a"]["macro"] == 0.0
    assert "leave-one-subject-out: each subject's is the one with the highest F1 on the other 2 subjects" in chosen.sentence
    assert "micro 0.00 to 0.31" in chosen.sentence


_onsets = st.integers(0, 9).map(lambda n: n * 12)
_subject = st.builds(
    lambda events, truths: (events, tuple(truths)),
    st.lists(st.tuples(_onsets, st.integers(0, 10).map(lambda n: n / 10), st.just("micro")), max_size=5),
    st.lists(_onsets, max_size=3, unique=True),
)  # fmt: skip


@given(st.lists(_subject, min_size=2, max_size=4), _subject)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_own_clips_never_enter_own_choice(subjects, other) -> None:
    made = [found(f"s{i}", *events, truths=truths) for i, (events, truths) in enumerate(subjects)]
    before = thresholds.choose(Compared("own", tuple(made)))
    made[0] = found("s0", *other[0], truths=other[1])  # whatever the first subject did ...
    after = thresholds.choose(Compared("own", tuple(made)))
    assert after.by_person["own/0"] == before.by_person["own/0"]  # ... its own threshold is the same


def test_choosing_needs_two_subjects() -> None:
    with pytest.raises(ValueError, match="needs two subjects"):
        thresholds.choose(Compared("own", (found("a"),)))


# ---------------------------------------------------------------------------------------------- command


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three subjects: one found with a false alarm, one missed, one with a macro-expression found."""
    import streamfer.datasets

    made = dataset(
        clip("s1_1", note(10, 19, apex=14)), clip("s2_1", note(30, 39)), clip("s3_1", note(60, 119, "macro", apex=90))
    )
    write(tmp_path / "out", "s1_1", event(11, 19, apex=16), event(50, 59, score=0.2), label="disgust")
    write(tmp_path / "out", "s2_1")
    write(tmp_path / "out", "s3_1", event(60, 119, "macro", apex=90), label="happiness")
    monkeypatch.setattr(streamfer.datasets, "load", lambda name, path: made, raising=False)
    return tmp_path / "out"


def run(*args: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", *(str(arg) for arg in args)])
    return int(ended.value.code or 0)


def scores(text: str) -> dict[tuple[str, str], float]:
    return {(row["group"], row["measure"]): row["value"] for row in json.loads(text)["scores"]}


def test_spotting_command(own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = ["--csv", tmp_path / "s.csv", "--log", tmp_path / "log.txt"]
    assert run("spotting", own, "--dataset", "own", "x", "--json", *files) == 0
    text = capsys.readouterr().out
    told = scores(text)
    assert told["micro", "f1"] == pytest.approx(2 * 1 / (2 + 2), abs=1e-6)
    assert told["overall", "precision"] == pytest.approx(2 / 3, abs=1e-6)
    assert json.loads(text)["counts"]["subjects"] == 3
    assert json.loads(text)["threshold"].startswith("fixed threshold, every event counts")
    assert (tmp_path / "s.csv").read_text().splitlines()[1:] == ["s1_1,12,20,me", "s1_1,51,60,me", "s3_1,61,120,mae"]
    assert (tmp_path / "log.txt").read_text().splitlines() == [
        "s1_1  11 20 12 20 TP", "s1_1  - - 51 60 FP", "s2_1  31 40 - - FN", "s3_1  61 120 61 120 TP",
    ]  # fmt: skip
    # the submission scores as the folder that it was written from
    assert run("spotting", tmp_path / "s.csv", "--dataset", "own", "x", "--json") == 0
    assert scores(capsys.readouterr().out) == told


def test_spotting_with_a_threshold(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("spotting", own, "--dataset", "own", "x", "--json", "--min-score", "0.5") == 0
    assert scores(capsys.readouterr().out)["micro", "precision"] == 1
    assert run("spotting", own, "--dataset", "own", "x", "--choose-score") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Threshold: score threshold by leave-one-subject-out" in said
    assert "the highest F1 on the other 2 subjects" in said
    assert "MEGC spotting on own: IoU >= 0.5 (inclusive)" in said
    assert "95 % interval: subjects drawn again" in said


def test_apex_command(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("apex", own, "--dataset", "own", "x", "--json") == 0
    told = scores(capsys.readouterr().out)
    assert told["micro", "mae_frames"] == 2
    assert told["micro", "mae_ms"] == pytest.approx(2000 / 30, abs=1e-3)
    assert told["micro", "asr"] == 1
    assert told["micro", "asr_all"] == 0.5
    assert told["macro", "ap_50_95"] == 1


def test_strs_command(own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from streamfer.evaluation import labels

    monkeypatch.setattr(labels, "truth_class", lambda dataset, scheme: {"disgust": "negative"}.get)
    given = lambda e: "negative" if e.result.cot.label == "disgust" else None  # noqa: E731
    monkeypatch.setattr(labels, "given_class", lambda scheme, dataset: given)
    assert run("strs", own, "--dataset", "own", "x", "--json") == 0
    text = capsys.readouterr().out
    told = scores(text)
    assert told["", "f1_spot"] == 0.5  # TP 1 FP 1 FN 1, macro-expressions apart
    assert told["", "strs"] == 0.5  # the spotted one is called right
    assert json.loads(text)["confusion"] == [[1, 0]]
    assert run("strs", own, "--dataset", "own", "x", "--official", "--min-score", "0.5") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "its errors included" in said
    assert "TP 1 FP 0 FN 0" in said  # the script forgets subject 2, for whom nothing was predicted


def test_recognition_of_a_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log").write_text("casme2 sub01\nEP02_01f 1 1\nsamm 6\n006_1_2 0 0\nsmic s01\ns01_ne_01 0 1\n")
    assert run("recognition", tmp_path / "log", "--json") == 0
    text = capsys.readouterr().out
    told = scores(text)
    # negative 2 of which 1 right; positive 1, given twice: F1 2/3 and 2/3
    assert told["full", "uf1"] == pytest.approx(2 / 3, abs=1e-6)
    assert told["samm", "uar"] == 1
    assert "casme2 has 0 negative clips, the challenge 88" in json.loads(text)["notes"]


REFUSED = {
    "both_thresholds": (["--min-score", "0.5", "--choose-score"], 2, "give one of them"),
    "missing": (["--iou-mode", "open"], 2, "inclusive"),
}


@pytest.mark.parametrize(("options", "code", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(own: Path, capsys: pytest.CaptureFixture[str], options: list[str], code: int, message: str) -> None:
    assert run("spotting", own, "--dataset", "own", "x", *options) == code
    assert message in capsys.readouterr().err


def test_a_submission_has_no_scores_to_choose_from(own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s.csv").write_text("vid,pred_onset,pred_offset,type\ns1_1,11,20,me\n")
    assert run("spotting", tmp_path / "s.csv", "--dataset", "own", "x", "--choose-score") == 2
    assert "a submission CSV has none" in capsys.readouterr().err
    assert run("apex", tmp_path / "s.csv", "--dataset", "own", "x") == 2
    assert "neither apexes nor classes" in capsys.readouterr().err


def test_spotting_counts_agree_with_the_library(own: Path) -> None:
    import streamfer.datasets

    compared = compare(streamfer.datasets.load("own", Path("x")), own)
    assert evaluate(compared.truths, compared.predictions).counts() == Counts(2, 3, 3)
