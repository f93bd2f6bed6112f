"""Follower: the parts together, on synthetic landmarks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from streamfer.config import Faces
from streamfer.faces.fake import FakeLandmarks
from streamfer.faces.follower import Follower, Seen
from streamfer.faces.people import People
from streamfer.faces.quality import QualityJudge
from streamfer.records import HeadPose
from tests.face_shapes import face_at, frame, textured
from tests.test_faces_people import Embedder


def make(fn, **options) -> tuple[Follower, FakeLandmarks]:
    settings = Faces(max_yaw_deg=90, **options)
    finder = FakeLandmarks(fn)
    return Follower(settings, People(settings, embed=Embedder()), finder), finder


def test_one_face_from_undecided_to_named():
    follower, _ = make(lambda f: [face_at(160, 120, 100)])
    seen = [follower.push(frame(i, i / 30)) for i in range(30)]
    assert [s.faces[0].track for s in seen] == [1] * 30
    people = [s.faces[0].person for s in seen]
    assert people[0] == "" and people[-1] == "P1"
    assert follower.person_of(1) == "P1"
    assert follower.flush() == (1,)
    assert follower.flush() == ()


def test_what_a_face_carries():
    follower, _ = make(lambda f: [face_at(160, 120, 100)])
    face = follower.push(frame(7, 0.5)).faces[0]
    assert face.landmarks.shape == (478, 3) and face.landmarks.dtype == np.float32
    assert face.box.x < 160 < face.box.x + face.box.w
    assert face.quality.size_px == pytest.approx(100, abs=0.01)
    assert face.quality.usable, face.quality.reason


def test_no_face():
    follower, _ = make(lambda f: [])
    assert follower.push(frame(3, 0.1)) == Seen(3, 0.1, 0, (), False, ())
    assert follower.flush() == ()


def test_a_cut_ends_all_tracks_and_resets_the_finder():
    follower, finder = make(lambda f: [face_at(100, 120, 90), face_at(220, 120, 90)])
    seen = [follower.push(frame(i, i / 30, textured(1 if i < 5 else 2))) for i in range(10)]
    assert [s.cut for s in seen] == [i == 5 for i in range(10)]
    assert [f.track for f in seen[4].faces] == [1, 2]
    assert [f.track for f in seen[5].faces] == [3, 4]
    assert seen[5].ended_tracks == (1, 2)
    assert finder.resets == 1


def test_a_new_segment_ends_all_tracks():
    follower, _ = make(lambda f: [face_at(100, 120, 90)])
    follower.push(frame(0, 0.0))
    seen = follower.push(frame(1, 3.0, segment=1))
    assert (seen.cut, seen.ended_tracks, seen.faces[0].track) == (True, (1,), 2)


def test_a_lost_track_is_reported_once_and_decided():
    follower, _ = make(lambda f: [face_at(160, 120, 100)] if f.time_s < 1 else [])
    ended = [follower.push(frame(i, i / 10)).ended_tracks for i in range(20)]
    assert [e for e in ended if e] == [(1,)]
    assert ended.index((1,)) == 15  # last seen at 0.9 s; more than 0.5 s later is 1.5 s
    assert follower.person_of(1) == "P1"


def test_seed_continues_the_numbers_of_an_earlier_run():
    follower, _ = make(lambda f: [face_at(160, 120, 100)])
    follower.seed(12)
    assert follower.push(frame(0, 0.0)).faces[0].track == 12
    with pytest.raises(ValueError, match="before the first frame"):
        follower.seed(20)


FRONT = HeadPose(0, 0, 0, 0, 0, 600)


@pytest.mark.parametrize(
    ("place", "pose", "image", "reason"),
    [
        ((160, 120, 100), FRONT, textured(1), ""),
        ((160, 120, 30), FRONT, textured(1), "small: 30 px wide"),
        ((160, 120, 100), HeadPose(0, 1.0, 0, 0, 0, 600), textured(1), "turned 57 degrees"),
        ((0, 120, 100), FRONT, textured(1), "outside the picture"),
        ((160, 120, 100), FRONT, np.full_like(textured(1), 90), "blurred: sharpness 0.0"),
    ],
    ids=["good", "small", "turned", "half outside", "no detail"],
)
def test_quality_gives_its_reason(place, pose, image, reason):
    quality = QualityJudge(Faces()).judge(1, 0.0, image, face_at(*place), pose)
    assert reason in quality.reason
    assert quality.usable == (reason == "")


def test_a_covered_face_is_seen_as_hidden_and_free_again_afterwards():
    judge, face, image = QualityJudge(Faces(min_sharpness=0)), face_at(160, 120, 100), textured(1)
    for i in range(30):
        assert judge.judge(1, i / 30, image, face, FRONT).occlusion == 0
    covered = image.copy()
    covered[90:220] = np.random.default_rng(5).integers(0, 255, covered[90:220].shape)
    hidden = judge.judge(1, 1.0, covered, face, FRONT)
    assert hidden.occlusion > 0.4 and "hidden" in hidden.reason
    assert judge.judge(1, 1.04, image, face, FRONT).usable


def test_brightness_hides_nothing():
    judge, face, image = QualityJudge(Faces()), face_at(160, 120, 100), textured(1)
    judge.judge(1, 0.0, image, face, FRONT)
    assert judge.judge(1, 0.04, (image * 0.6).astype(np.uint8), face, FRONT).occlusion < 0.05


def test_sharpness_does_not_depend_on_the_size_of_the_face():
    import cv2

    small = cv2.GaussianBlur(textured(1), (0, 0), 1.5)
    large = cv2.resize(small, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    a = QualityJudge(Faces()).judge(1, 0.0, small, face_at(160, 120, 100), FRONT)
    b = QualityJudge(Faces()).judge(1, 0.0, large, face_at(480, 360, 300), FRONT)
    assert b.sharpness == pytest.approx(a.sharpness, rel=0.25)


def test_options_decide_what_is_usable():
    face, image = face_at(160, 120, 30), textured(1)
    lenient = dataclasses.replace(QualityJudge(Faces(min_size_px=10)).judge(1, 0.0, image, face, FRONT))
    assert lenient.usable
