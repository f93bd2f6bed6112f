"""The real networks on clips made from the public-domain portrait that scikit-image ships."""

from __future__ import annotations

import time

import numpy as np
import pytest

from streamfer.config import Faces
from streamfer.errors import ModelMissing
from streamfer.faces.align import inner_eye_distance
from streamfer.faces.embedding import DlibEmbedder, face_chip
from streamfer.faces.follower import Follower
from streamfer.faces.gallery import Gallery
from streamfer.faces.landmarks import FaceMesh, LandmarkFinder, open_landmarks
from streamfer.faces.people import People
from streamfer.records import Frame


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    """(300, 300, 3): head and shoulders."""
    return np.ascontiguousarray(pytest.importorskip("skimage.data").astronaut()[:300, 80:380])


@pytest.fixture(scope="module")
def finder():
    mesh = FaceMesh(Faces())
    yield mesh
    mesh.close()


@pytest.fixture(autouse=True)
def forget(finder):
    finder.reset()


def scene(*placed: tuple[np.ndarray, int, int], width: int = 640, height: int = 360) -> np.ndarray:
    image = np.full((height, width, 3), 90, np.uint8)
    for picture, x, y in placed:
        h, w = min(picture.shape[0], height - y), min(picture.shape[1], width - x)
        image[y : y + h, x : x + w] = picture[:h, :w]
    return image


def follow(images: list[np.ndarray], finder: LandmarkFinder, fps: float = 30, **options):
    follower = Follower(Faces(**options), People(Faces(**options)), finder)
    seen = [follower.push(Frame(i, i / fps, image)) for i, image in enumerate(images)]
    follower.flush()
    return seen, follower


def test_a_still_portrait(portrait, finder):
    seen, follower = follow([scene((portrait, 100, 30))] * 25, finder)
    assert all(len(s.faces) == 1 and s.faces[0].track == 1 for s in seen)
    assert follower.person_of(1) == "P1"
    face = seen[-1].faces[0]
    assert face.quality.usable, face.quality
    assert abs(np.degrees(face.pose.ry)) < 25 and 300 < face.pose.tz < 2000
    assert face.confidence > 0.9


def test_landmarks_move_with_the_picture_and_are_not_smoothed(portrait, finder):
    rest = [finder.find(Frame(i, i / 30, scene((portrait, 100, 20))))[0].points for i in range(8)]
    moved = finder.find(Frame(8, 8 / 30, scene((portrait, 106, 24))))[0].points
    step = (moved - rest[-1])[:468, :2]
    assert np.median(step, axis=0) == pytest.approx((6, 4), abs=1.0)  # the crop still lies where the face was
    jitter = np.abs(np.diff([p[:468, :2] for p in rest[3:]], axis=0)).mean()
    assert jitter < 0.005 * inner_eye_distance(moved)


def test_a_planted_micro_movement_answers_in_the_same_frame(portrait, finder):
    import cv2

    image = scene((portrait, 100, 20))
    rest = [finder.find(Frame(i, i / 30, image))[0].points for i in range(6)][-1]
    y, x = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    brow = rest[105]
    pull = np.exp(-((x - brow[0]) ** 2 + (y - brow[1]) ** 2) / (2 * 10.0**2)).astype(np.float32)
    raised = cv2.remap(image, x, y + 3 * pull, cv2.INTER_CUBIC)  # the brow 3 px up
    first, *later = [finder.find(Frame(i, i / 30, raised))[0].points[105, 1] - rest[105, 1] for i in range(6, 10)]
    assert first < -0.9
    assert first == pytest.approx(np.mean(later), abs=0.35)


def test_no_face(finder):
    noise = np.random.default_rng(0).integers(0, 255, (360, 640, 3)).astype(np.uint8)
    for image in (np.zeros((360, 640, 3), np.uint8), np.full((90, 60, 3), 200, np.uint8), noise):
        finder.reset()
        assert finder.find(Frame(0, 0.0, image)) == []


def test_a_second_face_is_found_within_half_a_second(portrait, finder):
    one, two = scene((portrait, 0, 30)), scene((portrait, 0, 30), (portrait[:, ::-1], 330, 30))
    seen, follower = follow([one] * 20 + [two] * 45, finder)
    arrival = next(i for i, s in enumerate(seen) if len(s.faces) == 2)
    assert 20 <= arrival <= 20 + 16
    assert all(len(s.faces) == 2 for s in seen[arrival:])
    assert {f.track for s in seen for f in s.faces} == {1, 2}
    assert follower.person_of(2) == "P2"  # seen together: the mirrored twin is somebody else


def test_no_more_than_max_faces(portrait):
    both = scene((portrait, 0, 30), (portrait, 330, 30))
    mesh = FaceMesh(Faces(max_faces=1))
    try:
        assert [len(mesh.find(Frame(i, i / 2, both))) for i in range(4)] == [1, 1, 1, 1]
    finally:
        mesh.close()


def test_leaving_and_coming_back_is_the_same_person(portrait, finder):
    here, away, there = scene((portrait, 0, 30)), scene(), scene((portrait, 300, 40))
    seen, follower = follow([here] * 25 + [away] * 25 + [there] * 35, finder)
    tracks = sorted({f.track for s in seen for f in s.faces})
    assert len(tracks) == 2
    assert [follower.person_of(t) for t in tracks] == ["P1", "P1"]


def test_a_strip_of_the_picture_and_large_frames(portrait, finder):
    import cv2

    large = cv2.resize(scene((portrait, 100, 30)), (1920, 1080), interpolation=cv2.INTER_CUBIC)
    small = finder.find(Frame(0, 0.0, scene((portrait, 100, 30))))[0].points
    finder.reset()
    scaled = finder.find(Frame(0, 0.0, large))[0].points
    assert np.abs(scaled[:468, :2] / 3 - small[:468, :2]).mean() < 0.03 * inner_eye_distance(small)
    finder.reset()
    view = scene((portrait, 100, 30))[:, 50:500]  # not contiguous
    assert len(finder.find(Frame(0, 0.0, view))) == 1


def test_the_embedding_is_the_same_person_under_other_light_and_size(portrait, finder):
    import cv2

    pictures = [portrait, np.clip(portrait * 0.6, 0, 255).astype(np.uint8), cv2.resize(portrait, (200, 200))]
    chips = []
    for picture in pictures:
        finder.reset()
        image = scene((picture, 100, 30))
        chips.append(face_chip(image, finder.find(Frame(0, 0.0, image))[0].points))
    a, b, c = DlibEmbedder()(chips)
    assert max(np.linalg.norm(a - b), np.linalg.norm(a - c)) < 0.3


def test_a_real_gallery_goes_through_json(portrait, finder, tmp_path):
    images = [scene((portrait, 100, 30))] * 25
    people = People(Faces())
    follower = Follower(Faces(), people, finder)
    for i, image in enumerate(images):
        follower.push(Frame(i, i / 30, image))
    follower.flush()
    people.gallery.save(tmp_path / "people.json")
    again = People(Faces(), Gallery.load(tmp_path / "people.json"))
    later = Follower(Faces(), again, finder)
    for i, image in enumerate(images):
        later.push(Frame(i, i / 30, image))
    later.flush()
    assert again.person_of(1) == "P1"
    assert list(again.gallery.people) == ["P1"]


def test_a_missing_task_file_is_named():
    with pytest.raises(ModelMissing, match=r"no/such\.task is not there"):
        open_landmarks(Faces(landmarks="no/such.task"))


def test_nothing_is_written_to_stderr(portrait, capfd):
    mesh = FaceMesh(Faces())
    mesh.find(Frame(0, 0.0, scene((portrait, 100, 30))))
    mesh.close()
    time.sleep(0.05)
    assert capfd.readouterr().err == ""
