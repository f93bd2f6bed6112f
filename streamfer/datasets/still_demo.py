"""`streamfer dataset demo` of a data set of single faces: a few pictures of one portrait in its layout, with planted defects.

    made = make("disfa", Path("demo"), subjects=3)
    made.rules      -> Counter of what `dataset check` must report for it

The pictures are the public-domain portrait that comes with scikit-image, moved, mirrored and relit a little for each person and
frame; the labels are drawn by lot. The imitation shows that reading, scoring and training work, and nothing of accuracy.
"""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from streamfer.action_units import facs
from streamfer.datasets.demo import Made, portrait
from streamfer.datasets.still_aus import DISFA_AUS
from streamfer.datasets.still_labels import AFFECTNET, RAF
from streamfer.errors import UsageError
from streamfer.evaluation.expression import VOTED

FRAMES = 10
"""Of each person, video or part."""
_FACE = (slice(20, 200), slice(135, 315))  # rows and columns of the portrait
_WIDE = (slice(0, 300), slice(40, 400))


def make(name: str, out: Path, *, subjects: int = 3, seed: int = 0, quirks: bool = True) -> Made:
    """Write an imitation into the new folder `out`. Raises UsageError for a folder that is not empty."""
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty: name a new folder for the imitation")
    draw = Draw(np.random.default_rng(seed), portrait())
    made = Made(name, out)
    out.mkdir(parents=True, exist_ok=True)
    try:
        made.rules.update(+_WRITERS[name](out, draw, subjects, quirks))
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)  # half an imitation would be taken for a whole one
        raise
    made.clips, made.pictures = subjects, draw.count
    return made


class Draw:
    """Pictures of the portrait."""

    def __init__(self, rng: np.random.Generator, image: np.ndarray) -> None:
        self.rng, self.image, self.count = rng, image, 0

    def face(self, person: int, size: tuple[int, int], wide: bool = False) -> np.ndarray:
        """(h, w, 3) uint8 RGB of `size` (w, h)."""
        import cv2

        self.count += 1
        rows, columns = _WIDE if wide else _FACE
        dx, dy = self.rng.integers(-4, 5, 2)
        picture = self.image[rows.start + 4 + dy : rows.stop + 4 + dy, columns.start + dx : columns.stop + dx]
        if person % 2 == 0:
            picture = picture[:, ::-1]
        lit = np.clip(picture.astype(np.float32) * self.rng.uniform(0.8, 1.1), 0, 255).astype(np.uint8)
        return np.asarray(cv2.resize(lit, size, interpolation=cv2.INTER_AREA))

    def save(self, path: Path, person: int, size: tuple[int, int], wide: bool = False) -> None:
        import cv2

        path.parent.mkdir(parents=True, exist_ok=True)
        if not cv2.imwrite(str(path), cv2.cvtColor(self.face(person, size, wide), cv2.COLOR_RGB2BGR)):
            raise OSError(f"{path}: cannot be written")

    def video(self, path: Path, person: int, frames: int) -> None:
        import av

        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mjpeg", rate=20)
            stream.width, stream.height, stream.pix_fmt = 360, 300, "yuvj420p"
            for _ in range(frames):
                container.mux(
                    stream.encode(av.VideoFrame.from_ndarray(self.face(person, (360, 300), wide=True), format="rgb24"))
                )
            container.mux(stream.encode(None))

    def intensity(self, highest: int = 5) -> int:
        """0 half of the time."""
        return int(self.rng.integers(1, highest + 1)) if self.rng.random() < 0.5 else 0


def _disfa(out: Path, draw: Draw, subjects: int, quirks: bool) -> Counter[str]:
    rules: Counter[str] = Counter()
    for person in range(1, subjects + 1):
        subject = f"SN{person:03d}"
        draw.video(out / "Videos_LeftCamera" / f"LeftVideo{subject}_comp.avi", person, FRAMES)
        for au in DISFA_AUS:
            rows = [f"{frame},{draw.intensity()}" for frame in range(1, FRAMES + 1)]
            if quirks and person == 1 and au == 4:
                rows[3], rows[5] = "4,7", "six"
                rules.update(intensity_unknown=1, row_unread=1)
            if quirks and person == 2:
                rows.append(f"{FRAMES + 1},0")  # one frame more than the video has
            if quirks and person == subjects and au == 15:
                rules["au_file_absent"] += 1
                continue
            file = out / "ActionUnit_Labels" / subject / f"{subject}_au{au}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("\n".join(rows) + "\n")
        rules["frame_absent"] += quirks and person == 2
    return rules


def _bp4d(out: Path, draw: Draw, subjects: int, quirks: bool) -> Counter[str]:
    rules: Counter[str] = Counter()
    coded, strong = (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24), (6, 10, 12, 14, 17)
    for person in range(1, subjects + 1):
        subject, first = (
            ("F001", "M001", "F002", "M002")[person - 1] if person <= 4 else f"F{person:03d}",
            90 + 10 * person,
        )
        numbers = range(first, first + FRAMES)
        for number in numbers:
            missing = quirks and person == 1 and number == first + 2
            rules["picture_absent"] += missing
            if not missing:
                draw.save(out / "2D+3D" / subject / "T1" / f"{number:0{3 + person % 2}d}.jpg", person, (180, 180))
        levels = {number: {au: draw.intensity() for au in strong} for number in numbers}
        table = [["0", *map(str, range(1, 29))]]
        for number in numbers:
            own = {au: int(levels[number][au] > 0) if au in strong else int(draw.rng.random() < 0.4) for au in coded}
            table.append([str(number), *(str(own.get(au, 9)) for au in range(1, 29))])
        if quirks and person == 1:
            table.append(["end of coding"])
            rules["row_unread"] += 1
        _csv(out / "AUCoding" / "AU_OCC" / f"{subject}_T1.csv", table)
        for au in strong:
            rows = [[number, levels[number][au]] for number in numbers]
            if quirks and person == 1 and au == 6:
                rows[0][1], rows[1][1] = 9, 8  # 9 is "not coded", 8 is nothing
                rules["intensity_unknown"] += 1
            _csv(out / "AUCoding" / "AU_INT" / f"AU{au:02d}" / f"{subject}_T1_AU{au:02d}.csv", rows)
    if quirks:
        _csv(out / "AUCoding" / "AU_OCC" / "M018_T8.csv", [["0", "1"], ["1", "0"]])
        rules["clip_absent"] += 1
    return rules


def _feafa(out: Path, draw: Draw, subjects: int, quirks: bool) -> Counter[str]:
    rules: Counter[str] = Counter()
    for person in range(1, subjects + 1):
        folder = out / "FEAFA-A" / f"PV{person:03d}.output"
        for frame in range(FRAMES):
            values = [round(draw.intensity() / 5 * float(draw.rng.uniform(0.8, 1)), 6) for _ in facs.FEAFA]
            odd = frame if quirks and person == 1 else -1
            if odd == 1:
                values[0] = 1.02
                rules["clipped"] += 1
            if odd == 2:
                values.pop()
                rules["values_missing"] += 1
            if odd == 3:
                rules["picture_absent"] += 1
            else:
                draw.save(folder / f"{frame:08d}.jpg", person, (240, 200), wide=True)
            (folder / f"{frame:08d}.auw").write_text(" ".join(map(str, values)) + "\n")
    return rules


def _rafdb(out: Path, draw: Draw, subjects: int, quirks: bool) -> Counter[str]:
    rows = []
    for split, count in (("train", 2 * len(RAF)), ("test", len(RAF))):
        for number in range(1, count + 1):
            draw.save(out / "basic" / "Image" / "aligned" / f"{split}_{number:05d}_aligned.jpg", number, (100, 100))
            rows.append(f"{split}_{number:05d}.jpg {(number - 1) % len(RAF) + 1}")
    rules: Counter[str] = Counter()
    if quirks:
        rows += [rows[0], "train_90000.jpg 1", "train_90001.jpg 8", "train_90002.jpg"]
        rules.update(repeated=1, picture_absent=1, label_unknown=1, row_unread=1)
    _text(out / "basic" / "EmoLabel" / "list_patition_label.txt", rows)
    return rules


def _affectnet(classes: int) -> Callable[[Path, Draw, int, bool], Counter[str]]:
    def write(out: Path, draw: Draw, subjects: int, quirks: bool) -> Counter[str]:
        rules: Counter[str] = Counter()
        for file, folder, count in (("training", 1, 2 * len(AFFECTNET)), ("validation", 2, len(AFFECTNET))):
            header = [
                "subDirectory_filePath",
                "face_x",
                "face_y",
                "face_width",
                "face_height",
                "facial_landmarks",
                "expression",
                "valence",
                "arousal",
            ]
            rows: list[list[object]] = []
            for number in range(count):
                path = f"{folder}/{number:040x}.jpg"
                draw.save(
                    out / "Manually_Annotated" / "Manually_Annotated_Images" / path, number, (240, 200), wide=True
                )
                rows.append([path, 60, 20, 110, 120, "0;0", number % len(AFFECTNET), 0.1, 0.2])
                rules["not_in_classes"] += classes == 7 and number % len(AFFECTNET) == 7
            if quirks and folder == 1:
                rows[0][1] = "NULL"
                rows += [
                    [f"{folder}/gone.jpg", 0, 0, 1, 1, "0;0", 1, 0, 0],
                    *([rows[1][0], 0, 0, 1, 1, "0;0", n, -2, -2] for n in (8, 9, 10, 11)),
                ]
                rules.update(box_absent=1, picture_absent=1, no_expression=3, label_unknown=1)
            _csv(out / "Manually_Annotated_file_lists" / f"{file}.csv", [header, *rows])
        return rules

    return write


def _ferplus(out: Path, draw: Draw, subjects: int, quirks: bool) -> Counter[str]:
    votes: list[list[object]] = [["Usage", "Image name", *VOTED]]
    faces: list[list[object]] = [["emotion", "pixels", "Usage"]]
    number = 0
    for usage in ("Training", "PublicTest", "PrivateTest"):
        for label in range(8):
            own = [1 if k == 8 else 9 if k == label else 0 for k in range(len(VOTED))]
            grey = draw.face(number, (48, 48)).mean(axis=2).astype(np.uint8)
            votes.append([usage, f"fer{number:07d}.png", *own])
            faces.append([0, " ".join(map(str, grey.ravel())), usage])
            number += 1
    rules: Counter[str] = Counter()
    if quirks:
        votes[2][1], votes[3][0] = "", "PublicTest"
        faces[4][1] = str(faces[4][1])[:400]
        rules.update(not_a_face=1, usage_differs=1, pixels_broken=1)
    _csv(out / "fer2013new.csv", votes)
    _csv(out / "fer2013.csv", faces)
    return rules


_WRITERS: dict[str, Callable[[Path, Draw, int, bool], Counter[str]]] = {
    "disfa": _disfa, "bp4d": _bp4d, "feafa": _feafa, "rafdb": _rafdb, "affectnet7": _affectnet(7), "affectnet8": _affectnet(8),
    "ferplus": _ferplus,
}  # fmt: skip


def _csv(path: Path, rows: list) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def _text(path: Path, rows: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
