"""Spotting scores: golden examples worked out by hand, and properties that any scoring must have."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfer.evaluation.spotting import Counts, Spot, evaluate, iou, match
from streamfer.records import Event, Moment

FPS = 30


def spot(onset: int, offset: int, kind: str = "micro", video: str = "v", apex: int | None = None, score: float = 1.0) -> Spot:
    def moment(frame: int) -> Moment:
        return Moment(frame, frame / FPS)

    return Spot(video, kind, moment(onset), moment(offset), None if apex is None else moment(apex), score)  # type: ignore[arg-type]


IOU = {
    # name: (a, b, mode, expected by hand)
    "same": ((10, 19), (10, 19), "inclusive", 1.0),
    "half_inclusive": ((10, 19), (10, 14), "inclusive", 5 / 10),
    "half_exclusive": ((10, 19), (10, 14), "exclusive", 4 / 9),
    "shifted": ((0, 9), (5, 14), "inclusive", 5 / 15),
    "touching_inclusive": ((0, 9), (9, 18), "inclusive", 1 / 19),
    "touching_exclusive": ((0, 9), (9, 18), "exclusive", 0.0),
    "neighbours_inclusive": ((0, 9), (10, 19), "inclusive", 0.0),
    "neighbours_loose": ((0, 9), (10, 19), "loose", 1 / 19),
    "loose_overlap_is_inclusive": ((0, 9), (5, 14), "loose", 5 / 15),
    "far_exclusive": ((0, 9), (50, 59), "exclusive", 0.0),
    "one_frame_exclusive": ((7, 7), (7, 7), "exclusive", 0.0),
    "one_frame_inclusive": ((7, 7), (7, 7), "inclusive", 1.0),
}


@pytest.mark.parametrize(("a", "b", "mode", "expected"), IOU.values(), ids=IOU)
def test_iou(a: tuple[int, int], b: tuple[int, int], mode: str, expected: float) -> None:
    assert iou(spot(*a), spot(*b), mode) == pytest.approx(expected)  # type: ignore[arg-type]
    assert iou(spot(*b), spot(*a), mode) == pytest.approx(expected)  # type: ignore[arg-type]


def test_iou_mode_unknown() -> None:
    with pytest.raises(ValueError, match="choose from inclusive, exclusive, loose"):
        iou(spot(0, 1), spot(0, 1), "open")  # type: ignore[arg-type]


def test_threshold_is_reached_at_exactly_one_half() -> None:
    truth, half, less = spot(10, 19), spot(10, 14), spot(10, 13)
    assert match([truth], [half]) == [(0, 0, 0.5)]
    assert match([truth], [less]) == []
    assert match([truth], [half], mode="exclusive") == []  # 4/9


def test_matching_is_one_to_one() -> None:
    # two predictions on one truth: the better one counts, the other is a false alarm
    result = evaluate([spot(10, 19)], [spot(10, 15), spot(10, 18)])
    assert result.counts() == Counts(hits=1, predictions=2, truths=1)
    assert result.pairs[0].prediction.offset.frame == 18
    # one prediction over two truths finds one of them
    assert evaluate([spot(0, 9), spot(10, 19)], [spot(0, 19)]).counts() == Counts(1, 1, 2)


def test_greedy_takes_the_largest_overlap_first() -> None:
    # p0 fits t1 best (9/11) although it also fits t0 (6/14 < .5); p1 is left for t0
    truths, predictions = [spot(0, 9), spot(5, 14)], [spot(4, 14), spot(0, 7)]
    assert [(i, j) for i, j, _ in match(truths, predictions)] == [(1, 0), (0, 1)]


def test_kind_must_agree() -> None:
    truths, predictions = [spot(10, 19, "micro")], [spot(10, 19, "macro")]
    result = evaluate(truths, predictions)
    assert result.counts("micro") == Counts(0, 0, 1)
    assert result.counts("macro") == Counts(0, 1, 0)
    assert result.counts("overall").f1 == 0.0
    assert match(truths, predictions, kinds_must_agree=False) == [(0, 0, 1.0)]


def test_videos_do_not_mix() -> None:
    assert evaluate([spot(0, 9, video="a")], [spot(0, 9, video="b")]).counts() == Counts(0, 1, 1)


def test_scores_are_pooled_not_averaged() -> None:
    # video a: 1 of 1 found; video b: 1 of 4 found and 5 predicted. Pooled: A=2 N=6 M=5
    truths = [spot(0, 9, video="a"), *(spot(s, s + 9, video="b") for s in (0, 20, 40, 60))]
    wrong = [spot(s, s + 9, video="b") for s in (100, 120, 140, 160)]
    result = evaluate(truths, [spot(0, 9, video="a"), spot(0, 9, video="b"), *wrong])
    counts = result.counts()
    assert counts == Counts(hits=2, predictions=6, truths=5)
    assert (counts.precision, counts.recall, counts.f1) == pytest.approx((2 / 6, 2 / 5, 4 / 11))
    assert (counts.false_alarms, counts.missed) == (4, 3)
    assert len(result.false_alarms) == 4
    assert len(result.missed) == 3


def test_golden_both_kinds() -> None:
    """MEGC style by hand: micro A=1 N=2 M=2, macro A=1 N=1 M=2, overall A=2 N=3 M=4 -> F1 4/7."""
    truths = [
        spot(100, 112, "micro", apex=106), spot(300, 311, "micro", apex=305),
        spot(400, 459, "macro", apex=430), spot(600, 719, "macro", apex=640),
    ]  # fmt: skip
    predictions = [
        spot(98, 110, "micro", apex=105),  # 11 shared of 15: hit, apex one frame early
        spot(306, 330, "micro", apex=315),  # 6 shared of 31: no
        spot(420, 469, "macro", apex=437),  # 40 shared of 70: hit, apex seven frames late
    ]
    result = evaluate(truths, predictions)
    assert result.counts("micro") == Counts(1, 2, 2)
    assert result.counts("macro") == Counts(1, 1, 2)
    assert result.counts().f1 == pytest.approx(4 / 7)
    assert sorted(round(p.iou, 6) for p in result.pairs) == [round(40 / 70, 6), round(11 / 15, 6)]
    assert sorted(p.apex_error_frames for p in result.pairs) == [-1, 7]  # type: ignore[type-var]
    apex = result.apex()
    assert (apex.pairs, apex.median_frames, apex.mean_frames) == (2, 4.0, 4.0)
    assert apex.mean_ms == pytest.approx(4000 / 30)
    assert result.apex("micro").median_ms == pytest.approx(1000 / 30)


def test_apex_success_is_strictly_inside() -> None:
    truths = [spot(0, 9, apex=4), spot(50, 59, apex=55), spot(100, 109), spot(200, 209, apex=205)]
    predictions = [spot(0, 9, apex=0), spot(50, 59, apex=51), spot(100, 109, apex=104), spot(200, 209)]
    apex = evaluate(truths, predictions).apex("micro")
    assert apex.pairs == 2  # two pairs lack an apex on one side
    assert apex.inside == 0.5


def test_nothing_predicted_scores_zero() -> None:
    counts = evaluate([spot(0, 9)], []).counts()
    assert (counts.recall, counts.f1) == (0.0, 0.0)
    assert math.isnan(counts.precision)


def test_nothing_to_find() -> None:
    assert evaluate([], [spot(0, 9)]).counts().f1 == 0.0
    assert math.isnan(evaluate([], [], videos=["v"]).counts().f1)
    assert evaluate([], []).apex().pairs == 0


def test_offset_before_onset_is_refused() -> None:
    with pytest.raises(ValueError, match="v: offset 5 lies before onset 9"):
        spot(9, 5)


def test_spot_of_an_event() -> None:
    m = Moment(3, 0.1)
    event = Event("id", "clip", "P1", 1, "macro", m, Moment(9, 0.3), Moment(30, 1.0), 0.2, 0.9, (), (), 0.7)
    assert Spot.of(event) == Spot("clip", "macro", m, Moment(30, 1.0), Moment(9, 0.3), 0.7)
    assert Spot.of(event, "clip/P1").video == "clip/P1"


def test_bootstrap_interval() -> None:
    # twenty videos, each found or not at random with recall .5 in the pool
    truths = [spot(0, 9, video=f"v{i}") for i in range(20)]
    result = evaluate(truths, [spot(0, 9, video=f"v{i}") for i in range(10)])
    low, high = result.interval("recall", "micro")
    assert low < 0.5 < high
    # binomial standard error sqrt(.25/20) = .112, so about .28 to .72
    assert (low, high) == pytest.approx((0.28, 0.72), abs=0.06)
    assert result.interval("recall", "micro") == (low, high)  # same seed, same answer
    wider = result.interval("recall", "micro", level=0.99)
    assert wider[0] <= low and high <= wider[1]
    assert result.interval("precision", "micro") == (1.0, 1.0)


def test_bootstrap_needs_two_videos() -> None:
    assert all(math.isnan(v) for v in evaluate([spot(0, 9)], [spot(0, 9)]).interval("f1"))
    assert all(math.isnan(v) for v in evaluate([], [], videos=["a", "b"]).interval("f1"))


def test_bootstrap_counts_videos_without_events() -> None:
    truths = [spot(0, 9, video=f"v{i}") for i in range(4)]
    alone = evaluate(truths, truths).interval("precision")
    silent_clips = evaluate(truths, [*truths, spot(50, 59, video="calm")], videos=["calm", "still"])
    assert alone == (1.0, 1.0)
    assert silent_clips.interval("precision")[0] < 1.0
    assert set(silent_clips.per_video) == {"v0", "v1", "v2", "v3", "calm", "still"}


intervals = st.lists(
    st.builds(
        lambda start, length, kind, video: spot(start, start + length, kind, video),
        st.integers(0, 200), st.integers(0, 40), st.sampled_from(["micro", "macro"]), st.sampled_from(["a", "b"]),
    ),
    max_size=12,
)  # fmt: skip


@given(intervals, intervals, st.randoms())
def test_matching_properties(truths: list[Spot], predictions: list[Spot], random) -> None:
    result = evaluate(truths, predictions)
    counts = result.counts()
    assert counts.hits <= min(counts.truths, counts.predictions)
    assert (counts.truths, counts.predictions) == (len(truths), len(predictions))
    assert len(result.missed) + counts.hits == len(truths)
    assert all(p.iou >= 0.5 and p.truth.kind == p.prediction.kind and p.truth.video == p.prediction.video for p in result.pairs)
    shuffled = list(predictions)
    random.shuffle(shuffled)
    assert evaluate(truths, shuffled).counts() == counts
    assert evaluate(truths, truths).counts().hits == len(truths)


# -------------------------------------------------------------------------- the benchmark built on it


@pytest.fixture(scope="module")
def quick_set(tmp_path_factory: pytest.TempPathFactory):
    """The truth files of the quick reporting clips, without their pictures."""
    import json

    import numpy as np

    from benchmarks.spotting import recipes
    from samples.planted import plan, truth

    folder = tmp_path_factory.mktemp("clips")
    clips = recipes("reporting", quick=True)
    for clip in clips:
        times = np.arange(round(clip.seconds * clip.fps)) / clip.fps
        told = truth(
            [("A", plan(times, clip.wish, clip.seed))], times, [np.zeros((len(times), 4))], [50.0], {"fps": clip.fps}
        )
        (folder / f"{clip.name}.json").write_text(json.dumps(told))
    return clips, folder


def test_benchmark_perfect(quick_set) -> None:
    from benchmarks.spotting import read_truth, report

    clips, folder = quick_set
    found = {clip.name: read_truth(folder / f"{clip.name}.json")[0] for clip in clips}
    text = report(clips, found, folder, "perfect")
    # micro: 5 clips of 6; precision, recall, F1, any kind all one, no apex error, no false alarms
    assert "| 30 | 0.02 | micro | 30 | 1.00 | 1.00 | 1.00 | 1.00 | 0 | 0 | 0.0 |" in text
    assert "| 30 | 0.10 | macro | 10 | 1.00 | 1.00 | 1.00 | 1.00 | 0 | 0 | 0.0 |" in text
    assert "- overall: F1 1.00 (1.00-1.00)" in text
    assert "- 30 fps: below 0.02 IED" in text
    assert "| nothing: talking | 0.75 | 0 | 0 | 0.0 | 0.0 |" in text
    low, high = min(c.seed for c in clips), max(c.seed for c in clips)
    assert f"Reporting clips (seeds {low}-{high}); no option was chosen on these." in text


def test_benchmark_empty(quick_set) -> None:
    from benchmarks.spotting import report

    clips, folder = quick_set
    text = report(clips, {clip.name: [] for clip in clips}, folder, "empty")
    assert "| 30 | 0.10 | micro | 30 | – | 0.00 | 0.00 | 0.00 | – | – | 0.0 |" in text
    assert "- overall: F1 0.00 (0.00-0.00)" in text
    assert "- 30 fps: above 0.10 IED" in text


def test_benchmark_wrong_kind_and_false_alarms(quick_set) -> None:
    from dataclasses import replace

    from benchmarks.spotting import read_truth, report

    clips, folder = quick_set
    other = {"micro": "macro", "macro": "micro"}
    found = {
        clip.name: [replace(s, kind=other[s.kind]) for s in read_truth(folder / f"{clip.name}.json")[0]]
        for clip in clips
    }  # fmt: skip
    text = report(clips, found, folder, "wrong kinds")
    # 5 clips of 18 s = 1.5 minutes; ten macro events were called micro
    assert "| 30 | 0.06 | micro | 30 | 0.00 | 0.00 | 0.00 | 1.00 | – | – | 6.7 |" in text


def test_benchmark_refuses_gaps_and_mixtures(quick_set) -> None:
    from benchmarks.spotting import SEEDS, recipes, report

    clips, folder = quick_set
    with pytest.raises(KeyError, match="nothing about portrait_30fps_a02_s100"):
        report(clips, {clip.name: [] for clip in clips[1:]}, folder, "gap")
    with pytest.raises(ValueError, match="never mixed"):
        mixed = [*clips, *recipes("tuning", quick=True)]
        report(mixed, {clip.name: [] for clip in mixed}, folder, "mixed")
    assert not set(SEEDS["tuning"]) & set(SEEDS["reporting"])
    for split, seeds in SEEDS.items():
        made = recipes(split, calm=["a.mp4"], talking=["b.mp4"])
        assert all(clip.seed in seeds for clip in made)
        assert len({clip.name for clip in made}) == len(made)


def test_half_recall() -> None:
    from benchmarks.spotting import half_recall

    # recall 0, .5, 1 around .04: the middle is .04
    assert half_recall([0.02, 0.04, 0.08], [0, 10, 20], [20, 20, 20]) == pytest.approx(0.04, rel=0.05)
    # a step between .04 and .06 lies between them
    assert 0.04 < half_recall([0.02, 0.04, 0.06, 0.10], [0, 0, 30, 30], [30] * 4) < 0.06
    assert math.isnan(half_recall([0.02, 0.04], [0, 0], [20, 20]))


def test_naive_rises_on_a_drawn_signal() -> None:
    import numpy as np

    from benchmarks.naive_spotter import rises
    from samples.motion import rise_and_fall

    t = np.arange(600) / 30
    path = np.zeros((600, 6, 2))
    path[:, 2, 1] = -0.06 * rise_and_fall(t, 5.0, 5.2, 0.0, 5.45) - 0.09 * rise_and_fall(t, 12.0, 12.5, 0.5, 14.0)
    found = rises("clip", np.arange(600), t, path, 0.025)
    assert [s.kind for s in found] == ["micro", "macro"]
    assert abs(found[0].apex.frame - 156) <= 1  # type: ignore[union-attr]
    truths = [spot(150, 164, "micro", "clip"), spot(360, 420, "macro", "clip")]
    assert evaluate(truths, found).counts().hits == 2
    assert rises("clip", np.arange(600), t, path * 0, 0.025) == []
