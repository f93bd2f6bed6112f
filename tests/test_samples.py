"""The maker of clips: what it writes down is what the pixels do."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner

from samples.make_clip import Look, footage_clip, main, portrait_clip
from samples.motion import Blink, Head, Speech, rise_and_fall
from samples.muscles import AUS, MIRROR, SIDED, Skin, face_points
from samples.planted import Part, Plan, Planted, Wish, on_frames, plan, truth
from samples.render import Footage, Portrait, encode


def frames_of(path: Path) -> tuple[np.ndarray, list[float]]:
    with av.open(str(path)) as clip:
        frames = list(clip.decode(video=0))
    return np.stack([f.to_ndarray(format="rgb24") for f in frames]), [float(f.time) for f in frames]


@pytest.fixture(scope="module")
def portrait() -> Portrait:
    from skimage import data

    return Portrait(data.astronaut(), 320, 180, 110.0, seed=0)


# ------------------------------------------------------------------------------------------ time


def test_rise_and_fall() -> None:
    t = np.array([0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.55, 1.7, 2.0])
    got = rise_and_fall(t, 1.0, 1.2, 0.2, 1.7)
    assert got == pytest.approx([0, 0, 0.5, 1, 1, 1, 0.5, 0, 0])


def test_blink_is_shut_once() -> None:
    blink = Blink(1.0, 1.4)
    values = np.array([blink.closed(t) for t in np.arange(0.9, 1.5, 0.005)])
    assert values.max() == pytest.approx(1, abs=0.01)
    assert values[0] == values[-1] == 0
    assert blink.closed(1.1) > blink.closed(1.3)  # closes faster than it opens


@pytest.mark.parametrize(("level", "shift_ied", "yaw_deg"), [("off", 0.0, 0.0), ("calm", 0.05, 1.3), ("talking", 0.12, 3.2)])
def test_head_has_the_stated_size(level: str, shift_ied: float, yaw_deg: float) -> None:
    head = Head(level, 3)
    poses = [head.at(t) for t in np.arange(0, 300, 0.1)]
    assert np.sqrt(np.mean([p.shift[0] ** 2 for p in poses])) == pytest.approx(shift_ied, rel=0.1)
    assert np.degrees(np.sqrt(np.mean([p.yaw**2 for p in poses]))) == pytest.approx(yaw_deg, rel=0.1)


def test_head_is_smooth_and_seeded() -> None:
    head = Head("talking", 1)
    x = np.array([head.at(t).shift[0] for t in np.arange(0, 20, 0.005)])
    assert np.abs(np.diff(x)).max() < 0.01  # no jumps at 200 fps
    assert Head("talking", 1).at(3.3) == head.at(3.3)
    assert Head("talking", 2).at(3.3) != head.at(3.3)


def test_head_level_unknown() -> None:
    with pytest.raises(ValueError, match="choose from off, calm, talking"):
        Head("wild", 0)


def test_speech_stays_in_its_span() -> None:
    speech = Speech(2.0, 6.0, 5)
    inside = [speech.at(t).get("AU26", 0.0) for t in np.arange(2, 6, 0.01)]
    assert speech.at(1.9) == speech.at(6.1) == {}
    assert 0.05 < max(inside) < 0.4
    starts = [p[1] for p in speech.pulses if p[0] == "AU26"]
    assert 2 < len(starts) / 4.0 < 7  # syllables a second


# ----------------------------------------------------------------------------------------- skin


def test_every_field_has_size_one_and_leaves_the_nose_bridge(portrait: Portrait) -> None:
    points = portrait.face.skin.points
    grid = np.stack(np.meshgrid(np.arange(-3, 3, 0.05), np.arange(-3, 4, 0.05)), axis=-1)
    outside = np.linalg.norm((grid - points.mean(axis=0)) / np.ptp(points, axis=0), axis=-1) > 0.85
    for au in AUS:
        for side in ("left", "right", "both") if au in SIDED else ("both",):
            field = np.linalg.norm(portrait.face.skin.displacement(au, side, grid), axis=-1)
            assert field.max() == pytest.approx(1, abs=0.03), au
            assert field[outside].max() < 0.02, au
            bridge = np.linalg.norm(portrait.face.skin.displacement(au, side, points[[168, 6, 197]]), axis=-1)
            assert bridge.max() < 0.2, au


DIRECTIONS = {
    # AU: (landmark on the person's left, sign of movement outwards, sign downwards); 0 = either
    "AU01": (336, 0, -1),
    "AU02": (293, 0, -1),
    "AU04": (336, -1, 1),
    "AU05": (386, 0, -1),
    "AU06": (280, 0, -1),
    "AU07": (374, 0, -1),
    "AU09": (358, 0, -1),
    "AU10": (269, 0, -1),
    "AU12": (291, 1, -1),
    "AU14": (291, 1, 0),
    "AU15": (291, 0, 1),
    "AU20": (291, 1, 0),
    "AU17": (17, 0, -1),
    "AU24": (17, 0, -1),
    "AU25": (17, 0, 1),
    "AU26": (152, 0, 1),
}


@pytest.mark.parametrize("au", AUS)
def test_direction(au: str, portrait: Portrait) -> None:
    landmark, out, down = DIRECTIONS[au]
    points, skin = portrait.face.skin.points, portrait.face.skin
    move = skin.displacement(au, "both", points[[landmark]])[0]
    assert np.linalg.norm(move) > 0.3
    if out:
        assert out * move[0] > 0.2
    if down:
        assert down * move[1] > 0.3


@pytest.mark.parametrize("au", SIDED)
def test_one_side_leaves_the_other(au: str, portrait: Portrait) -> None:
    points, skin = portrait.face.skin.points, portrait.face.skin
    left_point = DIRECTIONS[au][0]
    here, there = points[[left_point]], points[[MIRROR[left_point]]]
    assert here[0, 0] > there[0, 0]  # the person's left is on the right of the picture
    size = [np.linalg.norm(skin.displacement(au, "left", p)) for p in (here, there)]
    assert size[0] > 0.3
    assert size[1] < 0.25 * size[0]


def test_unknown_movements_are_refused(portrait: Portrait) -> None:
    with pytest.raises(ValueError, match="no movement is known for AU45"):
        portrait.face.skin.displacement("AU45", "both", np.zeros((1, 2)))
    with pytest.raises(ValueError, match="AU17 has no sides"):
        portrait.face.skin.displacement("AU17", "left", np.zeros((1, 2)))


def test_face_frame_does_not_care_for_place_size_and_roll(portrait: Portrait) -> None:
    landmarks = portrait.face.landmarks
    turn = 1.7 * np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    assert face_points(landmarks @ turn.T + [30, -9]) == pytest.approx(face_points(landmarks), abs=1e-9)


def test_scale_is_kept_when_landmarks_move(portrait: Portrait) -> None:
    skin = Skin(portrait.face.skin.points)
    skin.displacement("AU12", "both", np.zeros((1, 2)))
    assert skin.moved(skin.points + 0.01)._scale is skin._scale


# ----------------------------------------------------------------------------------------- plan


@pytest.mark.parametrize("fps", [25, 30, 60, 200])
@pytest.mark.parametrize("seed", range(5))
def test_plans_keep_the_durations(fps: int, seed: int) -> None:
    times = np.arange(20 * fps) / fps
    one = plan(times, Wish((0.02, 0.1), 6, 2), seed)
    assert sorted(e.kind for e in one.events) == ["macro"] * 2 + ["micro"] * 6
    for e in one.events:
        rise, total = times[e.apex] - times[e.onset], times[e.offset] - times[e.onset]
        slack = 1.001 / fps
        if e.kind == "micro":
            assert 0.10 - slack <= rise <= 0.26 + slack
            assert total <= 0.5 + 1e-9
        else:
            assert 0.3 - slack <= rise <= 1.0 + slack
            assert 0.8 - slack <= total <= 4 + slack
        assert e.parts[0].amplitude_ied in (0.02, 0.1)
    gaps = [times[b.onset] - times[a.offset] for a, b in zip(one.events, one.events[1:], strict=False)]
    assert min(gaps) >= 1.0 - 2.5 / fps
    assert one.blinks
    for blink in one.blinks:
        assert all(times[e.offset] < blink.start_s or blink.end_s < times[e.onset] for e in one.events)


def test_plan_is_fixed_by_its_seed() -> None:
    times = np.arange(600) / 30
    assert plan(times, Wish(), 4) == plan(times, Wish(), 4)
    assert plan(times, Wish(), 4) != plan(times, Wish(), 5)
    # another amplitude changes nothing else: cells of a benchmark are paired
    a, b = plan(times, Wish((0.02,)), 4), plan(times, Wish((0.10,)), 4)
    assert [(e.kind, e.onset, e.apex, e.offset) for e in a.events] == [(e.kind, e.onset, e.apex, e.offset) for e in b.events]


def test_plan_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r"8 events do not fit into 5\.0 s"):
        plan(np.arange(151) / 30, Wish(), 0)
    with pytest.raises(ValueError, match="does not end before the clip does"):
        on_frames("micro", (Part("AU12", "both", 0.1),), np.arange(30) / 30, 0.8, 0.2, 0.0, 0.2)


def test_no_event_while_the_face_is_away() -> None:
    times = np.arange(600) / 30
    one = plan(times, Wish(micro=8, macro=0, absent=((8.0, 12.0),)), 1)
    assert 0 < len(one.events) < 8
    assert all(times[e.offset] <= 7.5 or times[e.onset] >= 12.5 for e in one.events)


def test_strength_peaks_at_the_apex_and_rests_outside() -> None:
    times = np.arange(90) / 30
    event = on_frames("macro", (Part("AU12", "both", 0.1),), times, 0.5, 0.4, 0.3, 0.6)
    curve = [event.strength(t, times) for t in times]
    assert curve[event.onset] == curve[event.offset] == 0
    assert curve[event.onset + 1] > 0 and curve[event.offset - 1] > 0
    assert int(np.argmax(curve)) == event.apex
    assert curve[event.apex : event.apex + event.hold + 1] == pytest.approx([1.0] * (event.hold + 1))


# --------------------------------------------------------------------------------------- pixels


def test_picture_at_rest_is_still(portrait: Portrait) -> None:
    head, times = Head("off", 0), np.arange(3) / 30
    a, box = portrait.draw(0.0, times, Plan(), head)
    b, _ = portrait.draw(times[2], times, Plan(), head)
    assert a.shape == (180, 320, 3)
    assert np.array_equal(a, b)
    assert box[2] == pytest.approx(110, abs=1)


def test_skin_moves_and_background_does_not(portrait: Portrait) -> None:
    times = np.arange(30) / 30
    event = Planted("micro", (Part("AU12", "left", 0.15),), 5, 10, 15)
    rest, box = portrait.draw(0.0, times, Plan((event,)), Head("off", 0))
    apex, _ = portrait.draw(times[10], times, Plan((event,)), Head("off", 0))
    change = np.abs(apex.astype(int) - rest).max(axis=-1)
    rows, columns = np.nonzero(change > 12)
    left, top, width, height = box
    assert len(rows) > 30
    assert columns.min() > left + 0.4 * width  # the person's left is the right half
    assert rows.min() > top + 0.35 * height
    around = change.copy()
    around[int(top) - 3 : int(top + height) + 12, int(left) - 12 : int(left + width) + 12] = 0
    assert around.max() <= 1


def test_displacement_in_pixels_is_the_stated_amplitude(portrait: Portrait) -> None:
    import cv2

    times = np.arange(30) / 30
    event = Planted("micro", (Part("AU01", "both", 0.2), Part("AU02", "both", 0.2)), 5, 10, 15)
    still = Head("off", 0)
    rest, apex = (
        cv2.cvtColor(portrait.draw(t, times, Plan((event,)), still)[0], cv2.COLOR_RGB2GRAY) for t in (0.0, times[10])
    )
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(rest, apex, None)
    brow = portrait.face.landmarks[[296, 66]] - portrait.corner
    moved = [flow[round(y), round(x), 1] for x, y in brow]
    expected = 0.2 * portrait.face.ied
    assert np.mean(moved) == pytest.approx(-expected, rel=0.35)


def test_head_motion_moves_the_head_only(portrait: Portrait) -> None:
    head, times = Head("talking", 2), np.arange(300) / 30
    a, _ = portrait.draw(0.0, times, Plan(), head)
    b, _ = portrait.draw(1.3, times, Plan(), head)
    change = np.abs(a.astype(int) - b).max(axis=-1)
    assert change[60:120, 130:190].mean() > 3
    assert change[:, :20].max() == 0  # picture's edge


def test_blink_covers_the_eyes(portrait: Portrait) -> None:
    times, blink = np.arange(60) / 30, Blink(0.5, 0.9)
    still = Head("off", 0)
    open_, _ = portrait.draw(0.0, times, Plan(), still)
    shut, _ = portrait.draw(0.5 + 0.35 * 0.4, times, Plan(blinks=(blink,)), still)
    change = np.abs(open_.astype(int) - shut).max(axis=-1)
    pupils = np.round(portrait.face.landmarks[[468, 473]] - portrait.corner).astype(int)
    for x, y in pupils:
        assert change[y - 1 : y + 2, x - 1 : x + 2].max() > 25
        assert shut[y, x].mean() > open_[y, x].mean() or change[y, x] > 25
    eyes = portrait.face.landmarks[[33, 133, 263, 362]] - portrait.corner
    reach = 0.6 * portrait.face.ied
    rows, _columns = np.nonzero(change)
    assert rows.min() > eyes[:, 1].min() - reach
    assert rows.max() < eyes[:, 1].max() + reach


def test_footage_at_rest_is_untouched(portrait: Portrait) -> None:
    times = list(np.arange(4) / 30)
    image, _ = portrait.draw(0.0, np.array(times), Plan(), Head("off", 0))
    footage = Footage([image] * 4, times)
    event = Planted("micro", (Part("AU04", "both", 0.12),), 0, 2, 3)
    chosen = Plan((event,))
    assert footage.draw(0, np.array(times), chosen)[0] is footage.images[0]
    at_apex, box = footage.draw(2, np.array(times), chosen)
    change = np.abs(at_apex.astype(int) - image).max(axis=-1)
    assert change.max() > 20
    left, top, width, height = box
    change[int(top) - 12 : int(top + 0.6 * height), int(left) - 12 : int(left + width) + 12] = 0
    assert change.max() <= 1


def test_no_face_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no face found"):
        Footage([np.zeros((120, 160, 3), np.uint8)] * 2, [0.0, 0.1])


# ---------------------------------------------------------------------------------------- files


def test_clip_and_truth_agree(tmp_path: Path) -> None:
    look = Look(320, 180, 110.0, noise=1.0)
    path = tmp_path / "clip.mp4"
    told = portrait_clip(path, Wish((0.1,), 2, 0, gap_s=0.5), seconds=5, fps=25, seed=3, look=look)
    assert told == json.loads(path.with_suffix(".json").read_text())
    images, times = frames_of(path)
    assert images.shape == (told["frames"], 180, 320, 3)
    assert times == pytest.approx(np.arange(125) / 25, abs=1e-4)
    assert len(told["events"]) == 2
    for event in told["events"]:
        for point in ("onset", "apex", "offset"):
            assert event[point]["time_s"] == pytest.approx(times[event[point]["frame"]], abs=1e-4)
        left, top, width, height = event["box"]
        assert left >= 0 and top >= 0 and left + width <= 320 and top + height <= 180
    assert told["persons"][0]["ied_px"] == pytest.approx(28, abs=3)
    assert told["nuisances"]["blinks"]
    again = portrait_clip(tmp_path / "again.mp4", Wish((0.1,), 2, 0, gap_s=0.5), seconds=5, fps=25, seed=3, look=look)
    assert {**again, "clip": ""} == {**told, "clip": ""}
    assert np.array_equal(frames_of(tmp_path / "again.mp4")[0], images)


def test_two_people_and_one_who_leaves(tmp_path: Path) -> None:
    times = np.arange(90) / 30
    event = on_frames("micro", (Part("AU12", "both", 0.1),), times, 2.4, 0.15, 0.0, 0.15)
    gone = Plan(absent=((1.0, 1.4),))
    told = portrait_clip(
        tmp_path / "two.mp4", Plan((event,)), seconds=3, look=Look(480, 180, 100.0, noise=0), second=gone
    )
    assert [p["person"] for p in told["persons"]] == ["A", "B"]
    assert told["persons"][1]["absent_s"] == [[1.0, 1.4]]
    assert told["persons"][1]["box"][0] > 240 > told["events"][0]["box"][0]
    images, _ = frames_of(tmp_path / "two.mp4")
    change = np.abs(images[36].astype(int) - images[0]).mean(axis=(0, 2))
    assert change[240:].mean() > 20  # the second panel shows no face any more
    assert change[:230].mean() < 2


def test_variable_frame_times_survive(tmp_path: Path) -> None:
    times = np.array([0.0, 0.03, 0.08, 0.1, 0.2])
    encode(tmp_path / "v.mp4", iter([np.full((64, 64, 3), 40 * i, np.uint8) for i in range(5)]), times, 20)
    assert frames_of(tmp_path / "v.mp4")[1] == pytest.approx(times, abs=1e-4)


def test_footage_clip_from_a_file(tmp_path: Path) -> None:
    look = Look(320, 180, 110.0, noise=0)
    portrait_clip(tmp_path / "base.mp4", Plan(head="calm"), seconds=1, fps=25, look=look)
    told = footage_clip(
        tmp_path / "planted.mp4", tmp_path / "base.mp4", Wish((0.1,), 1, 0, blinks=False, head="off"), seed=1, loop_s=3
    )
    images, _ = frames_of(tmp_path / "planted.mp4")
    assert len(images) == told["frames"] == 75
    assert told["base"] == "footage"
    assert [e["kind"] for e in told["events"]] == ["micro"]


def test_command_line(tmp_path: Path) -> None:
    run = CliRunner()
    wrong = run.invoke(main, [str(tmp_path / "a.mp4"), "--speech", "abc"])
    assert wrong.exit_code == 2
    assert "START-END" in wrong.output
    short = run.invoke(main, [str(tmp_path / "a.mp4"), "--seconds", "3"])
    assert short.exit_code == 1
    assert "do not fit into" in short.output
    assert run.invoke(main, []).exit_code == 2


def test_the_committed_clip() -> None:
    folder = Path(__file__).parent.parent / "samples"
    told = json.loads((folder / "portrait.json").read_text())
    path = folder / "portrait.mp4"
    assert path.stat().st_size < 2_000_000
    with av.open(str(path)) as clip:
        times = [float(f.time) for f in clip.decode(video=0)]
    assert len(times) == told["frames"]
    kinds = [e["kind"] for e in told["events"]]
    assert kinds.count("micro") == 3 and kinds.count("macro") == 2
    for event in told["events"]:
        for point in ("onset", "apex", "offset"):
            assert event[point]["time_s"] == pytest.approx(times[event[point]["frame"]], abs=1e-4)
        assert (event["duration_s"] <= 0.5) == (event["kind"] == "micro")


def test_truth_of_a_face_never_seen() -> None:
    told = truth([("A", Plan())], [0.0, 0.1], [np.full((2, 4), np.nan)], [50.0], {"clip": "x.mp4"})
    assert told["persons"][0]["box"] is None
    assert told["events"] == []
