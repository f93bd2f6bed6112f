"""The layouts of the imitations: folders, file names, tables, and which traps of the real tables are planted where.

A `Layout` says how the frames of a clip are named and writes the table. Its `write` returns what `streamfer dataset check`
must then report, by rule: the tests compare the two. Quirks that lose nothing (a missing apex, a fraction, notes above
the header) are put on rows of planted expressions; those that cost a row are rows of their own.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamfer.datasets.casme_long import FILMS, SUBJECTS
from streamfer.errors import ExtraMissing


@dataclass(frozen=True, slots=True)
class Expression:
    """A planted expression, in places from 0 of the whole clip."""

    kind: str
    onset: int
    apex: int
    offset: int
    aus: str
    emotion: str


@dataclass(frozen=True, slots=True)
class Video:
    subject: int
    clip: int
    first: int  # number of its first frame
    expressions: tuple[Expression, ...]
    emotion: str


Write = Callable[[Path, Sequence[Video], float, bool], Counter[str]]


@dataclass(frozen=True, slots=True)
class Layout:
    fps: float
    folder: Callable[[Video], str]
    file: Callable[[Video, int], str]
    write: Write
    clips: int = 2  # of each subject
    seconds: float = 3.0
    micro: int = 1
    macro: int = 0
    grey: bool = False
    cut: bool = False  # only onset to offset is distributed
    fixed_fps: bool = True
    words: tuple[str, ...] = ("happiness", "disgust", "surprise")
    first_number: Callable[[int, int], int] = lambda subject, clip: 1

    def emotion(self, subject: int, clip: int) -> str:
        return self.words[(subject + clip) % len(self.words)]


Rows = list[list[Any]]


def _numbered(video: Video, expression: Expression) -> tuple[int, int, int]:
    return tuple(video.first + place for place in (expression.onset, expression.apex, expression.offset))  # type: ignore[return-value]


def _each(videos: Sequence[Video]) -> list[tuple[Video, Expression]]:
    return [(video, expression) for video in videos for expression in video.expressions]


def _sheet(path: Path, **sheets: Rows) -> None:
    """An .xlsx with these sheets; names may hold `_plus_` for "+"."""
    try:
        import openpyxl
    except ImportError:
        raise ExtraMissing.of("openpyxl", "datasets", f"writing {path.name}") from None
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name.replace("_plus_", "+").replace("_blank_", " "))
        for row in rows:
            sheet.append(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(path)


def _casme(table: str, header: list[Any], two_apexes: bool) -> Write:
    def write(out: Path, videos: Sequence[Video], fps: float, quirks: bool) -> Counter[str]:
        rows: Rows = [header]
        rules: Counter[str] = Counter()
        for number, (video, one) in enumerate(_each(videos)):
            onset, apex, offset = _numbered(video, one)
            shown: Any = apex
            if quirks and number == 0:
                shown = "/"
                rules["apex_missing"] += 1
            aus = "?" if quirks and number == 1 else one.aus
            rules["au_unknown"] += aus == "?"
            name = f"EP{video.clip:02d}_01f"
            apexes = ["/", shown] if two_apexes and number == 2 and quirks else [shown, ""] if two_apexes else [shown]
            rows.append([video.subject, name, None, onset, *apexes, offset, None, aus, one.emotion])
        if quirks:
            rows.append([99, "EP01_99", None, 1, *([5, ""] if two_apexes else [5]), 9, None, "4", "disgust"])
            rows.append(
                [
                    videos[0].subject,
                    f"EP{videos[0].clip:02d}_01f",
                    None,
                    "",
                    *([5, ""] if two_apexes else [5]),
                    9,
                    None,
                    "4",
                    "fear",
                ]
            )
            rows.append(
                ["", "", None, "", *(["", ""] if two_apexes else [""]), "", None, "", "a remark below the table"]
            )
            rules.update(clip_absent=1, onset_missing=1, no_subject=1)
        _sheet(out / table, Sheet1=rows)
        return +rules

    return write


def _samm(out: Path, videos: Sequence[Video], fps: float, quirks: bool) -> Counter[str]:
    rules: Counter[str] = Counter()
    rows: Rows = [[f"note {n} about the coding"] for n in range(12)] if quirks else []
    rows.append(
        [
            "Subject",
            "Filename",
            "Inducement Code",
            "Onset Frame",
            "Apex Frame",
            "Offset Frame",
            "Duration",
            "Micro",
            "Action Units",
            "Estimated Emotion",
            "Objective Classes",
            "Notes",
        ]
    )
    for number, (video, one) in enumerate(_each(videos)):
        onset, apex, offset = _numbered(video, one)
        aus, shown = one.aus, apex
        if quirks and number == 0:
            shown = -1
            rules["apex_missing"] += 1
        if quirks and number == 1:
            aus = "7A/B+L10A/B)+ref(11)+12C"
        if quirks and number == 2:
            aus = f"{one.aus} glare"
            rules["au_unread"] += 1
        rows.append(
            [
                f"{video.subject:03d}",
                _samm_name(video),
                video.clip,
                onset,
                shown,
                offset,
                offset - onset + 1,
                "Micro - 1/2",
                aus,
                one.emotion.capitalize(),
                1,
                "",
            ]
        )
    if quirks:
        rows.append(["099", "099_1_1", 1, 10, 20, 30, 21, "Micro - 1/2", "4", "Anger", 1, ""])
        rows.append(
            [
                f"{videos[0].subject:03d}",
                _samm_name(videos[0]),
                1,
                990000,
                990010,
                990020,
                21,
                "Micro - 1/2",
                "4",
                "Anger",
                1,
                "",
            ]
        )
        rules.update(clip_absent=1, outside_clip=1)
    _sheet(out / "SAMM_Micro_FACS_Codes_v2.xlsx", MICRO_ONLY=rows)
    return +rules


def _samm_name(video: Video) -> str:
    return f"{video.subject:03d}_{video.clip}_1"


def _samm_lv(out: Path, videos: Sequence[Video], fps: float, quirks: bool) -> Counter[str]:
    rules: Counter[str] = Counter()
    rows: Rows = [[f"note {n}"] for n in range(9)] if quirks else []
    rows.append(
        [
            "Subject",
            "Filename",
            "Inducement Code",
            "Onset",
            "Apex",
            "Offset",
            "Duration",
            "Type",
            "Action Units",
            "Notes",
        ]
    )
    macros = 0
    for number, (video, one) in enumerate(_each(videos), 1):
        values: list[Any] = list(_numbered(video, one))
        if one.kind == "macro":
            macros += 1
        if quirks and one.kind == "macro" and macros == 1:
            values[0] = values[0] + 0.4
            rules["fraction"] += 1
        if quirks and one.kind == "macro" and macros == 2:
            values[1] = -1
            rules["apex_missing"] += 1
        kind = "Macro" if one.kind == "macro" else "Micro - 1/2"
        name = f"{video.subject:03d}_{video.clip}_{number}"
        rows.append([f"{video.subject:03d}", name, video.clip, *values, values[2] - values[0] + 1, kind, one.aus, ""])
    if quirks:
        some = videos[0]
        rows.append(
            [
                f"{some.subject:03d}",
                f"{some.subject:03d}_{some.clip}_90",
                1,
                0,
                5,
                9,
                10,
                "Macro",
                "4",
                "on from the start",
            ]
        )
        rows.append(["099", "099_1_1", 1, 10, 20, 30, 21, "Macro", "4", ""])
        rows.append([f"{some.subject:03d}", f"{some.subject:03d}_{some.clip}_91", 1, 10, 20, 30, 21, "blink", "45", ""])
        rules.update(onset_zero=1, clip_absent=1, kind_unknown=1)
    _sheet(out / "SAMM_LongVideos_V3_Release.xlsx", FACS_Movement_Only=rows)
    return +rules


def _squared(out: Path, videos: Sequence[Video], fps: float, quirks: bool) -> Counter[str]:
    rules: Counter[str] = Counter()
    rows: Rows = []
    macros = micros = 0
    for number, (video, one) in enumerate(_each(videos), 1):
        values: list[Any] = list(_numbered(video, one))
        macros, micros = macros + (one.kind == "macro"), micros + (one.kind == "micro")
        if quirks and one.kind == "macro" and macros == 1:
            values[1], values[2] = values[2], 0  # "not finished": the end stands as the apex
            rules["offset_zero"] += 1
        if quirks and one.kind == "macro" and macros == 2:
            values[1], values[2] = values[2], values[1]
            rules["apex_offset_swapped"] += 1
        if quirks and one.kind == "micro" and micros == 1:
            values[1] = 0
            rules["apex_missing"] += 1
        film = list(FILMS)[video.clip - 1]
        kind = f"{one.kind}-expression"
        rows.append(
            [
                video.subject,
                f"{film}_{number}",
                *values,
                one.aus,
                one.emotion,
                kind,
                "happyiness" if number == 1 else one.emotion,
            ]
        )
    if quirks:
        rows.append([22, "happy5_1", 10, 20, 30, "12", "positive", "macro-expression", "happiness"])
        rules["clip_absent"] += 1
    _sheet(out / "CAS(ME)^2code_final.xlsx", CASFEcode_final=rows)
    return +rules


def _casme3a(out: Path, videos: Sequence[Video], fps: float, quirks: bool) -> Counter[str]:
    rules: Counter[str] = Counter()
    rows: Rows = [["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Expression type", "Objective class"]]
    labels: Rows = [["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"]]
    for number, (video, one) in enumerate(_each(videos)):
        onset, apex, offset = _numbered(video, one)
        subject, film = f"spNO.{video.subject}", "ab"[video.clip - 1]
        shown = film.upper() if quirks and number == 0 else film  # one group of the real table is written 'J'
        kind = f"{one.kind.capitalize()}-expression"
        rows.append([subject, shown, onset, apex, offset, one.aus, kind, "I"])
        if one.kind == "micro":
            labels.append([subject, shown, onset, apex, offset, one.aus, "I", one.emotion])
    if quirks:
        rows.append(["spNO.1", "a", 50, 60, 40, "4", "Micro-expression", "I"])
        rows.append(["spNO.1", "a", 50, 0, 0, "4", "Micro-expression", "I"])
        rows.append(["spNO.1", "a", 20, 2, 30, "4", "Macro-expression", "I"])
        rows.append(["spNO.99", "a", 20, 25, 30, "4", "Macro-expression", "I"])
        rules.update(offset_before_onset=1, offset_zero=1, apex_before_onset=1, clip_absent=1)
        video = videos[-1]  # lost in recording: no expression of it ends or begins there
        free = next(
            n
            for n in range(5, 999)
            if not any(abs(n - p) < 3 for e in video.expressions for p in (e.onset, e.apex, e.offset))
        )
        (out / LAYOUTS["casme3a"].folder(video) / f"{video.first + free}.jpg").unlink()
    _sheet(out / "annotation" / "CAS(ME)3_part_A_v2.xlsx", AU_plus_Emotion=rows)
    _sheet(out / "annotation" / "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", label=labels)
    return +rules


def _casme3c(out: Path, videos: Sequence[Video], fps: float, quirks: bool) -> Counter[str]:
    rules: Counter[str] = Counter()
    rows: Rows = [["sub", "count", "onset", "offset", "au", "emotion"]]
    for number, (video, one) in enumerate(_each(videos)):
        onset, _, offset = _numbered(video, one)
        aus = one.aus.replace("+", "，" if quirks and number == 0 else ",")
        rows.append([video.subject, number, onset, offset, aus, one.emotion])
    if quirks:
        rows.append([99, 1, 10, 20, "4", "negative"])
        rules["clip_absent"] += 1
    _sheet(out / "annotation" / "CAS(ME)3_part_C_ME.xlsx", mockCrimeME=rows)
    return +rules


def _smic_word(video: Video) -> str:
    return {"negative": "ne", "positive": "po", "surprise": "sur"}[video.emotion]


def _smic_clip(video: Video, padded: bool = False) -> str:
    return (
        f"s{video.subject:02d}_{_smic_word(video)}_{video.clip:02d}"
        if padded
        else f"s{video.subject}_{_smic_word(video)}_{video.clip:02d}"
    )


def _nothing(out: Path, videos: Sequence[Video], fps: float, quirks: bool) -> Counter[str]:
    return Counter()


def _smic_long(part: str) -> Write:
    def write(out: Path, videos: Sequence[Video], fps: float, quirks: bool) -> Counter[str]:
        rules: Counter[str] = Counter()
        rows: Rows = [["Subject", "Filename", "OnsetF", "OffsetF", "FirstF", "Emotion"]]
        for video, one in _each(videos):
            onset, _, offset = _numbered(video, one)
            rows.append(
                [
                    video.subject,
                    _smic_clip(video, padded=video.subject % 2 == 0),
                    onset,
                    offset,
                    video.first,
                    one.emotion,
                ]
            )
        if quirks:
            rows.append([99, "s99_ne_01", 10, 20, 1, "negative"])
            rows.append(["", "three clips were lost", "", "", "", ""])
            rules.update(clip_absent=1, no_subject=1)
        _sheet(out / f"SMIC-{part}-E_annotation.xlsx", Sheet1=rows)
        return +rules

    return write


def _short_table(
    name: str,
    header: list[str],
    line: Callable[[Video, tuple[int, int, int], Expression, float], list[Any]],
    absent: list[Any],
) -> Write:
    """A table of one row per clip, a missing apex in the first and a row without its folder as the last."""

    def write(out: Path, videos: Sequence[Video], fps: float, quirks: bool) -> Counter[str]:
        rules: Counter[str] = Counter()
        rows: Rows = [list(header)]
        for number, (video, one) in enumerate(_each(videos)):
            cells = line(video, _numbered(video, one), one, fps)
            if quirks and number == 0:
                cells[next(i for i, h in enumerate(header) if h.startswith("Apex"))] = ""
                rules["apex_missing"] += 1
            rows.append(cells)
        if quirks:
            rows.append(absent)
            rules["clip_absent"] += 1
        if name.endswith(".csv"):
            with (out / name).open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows(rows)
        else:
            _sheet(out / name, Sheet1=rows)
        return +rules

    return write


def _plain(out: Path, videos: Sequence[Video], fps: float, quirks: bool) -> Counter[str]:
    rules: Counter[str] = Counter()
    rows: Rows = [["clip", "subject", "fps", "kind", "onset", "apex", "offset", "emotion", "aus"]]
    for number, (video, one) in enumerate(_each(videos)):
        kind = "" if quirks and number == 0 else one.kind
        rules["kind_by_length"] += kind == ""
        rows.append(
            [
                LAYOUTS["plain"].folder(video),
                f"p{video.subject}",
                fps,
                kind,
                *_numbered(video, one),
                one.emotion,
                one.aus,
            ]
        )
    if quirks:
        rows.append(["no/such/clip", "p1", fps, "micro", 1, 2, 3, "fear", "4"])
        rules["clip_absent"] += 1
    with (out / "annotations.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return +rules


def _smic_layout(part: str, fps: float, long: bool) -> Layout:
    words = ("negative", "positive", "surprise")
    if long:
        return Layout(
            fps,
            lambda v: f"{part}_long/SMIC_{part}_E/s{v.subject:02d}/{_smic_clip(v, padded=True)}",
            lambda v, n: f"image{n:08d}.jpg",
            _smic_long(part),
            words=words,
            first_number=lambda s, c: 17581000 + 1000 * s + 500 * c,
        )
    return Layout(
        fps,
        lambda v: f"SMIC_all_raw/{part}/s{v.subject:02d}/micro/{v.emotion}/{_smic_clip(v)}",
        lambda v, n: f"image{n}.jpg",
        _nothing,
        cut=True,
        words=words,
        first_number=lambda s, c: 559700 + 1000 * s + 400 * c,
    )


_FOUR_DME = ["sub_ID", "fold_name", "Emotion", "Onset", "Apex", "Offset", "AUs", "AU*", "eye blink"]
LAYOUTS: dict[str, Layout] = {
    "casme": Layout(
        60,
        lambda v: f"CASME_raw_selected/sub{v.subject:02d}/EP{v.clip:02d}_01f",
        lambda v, n: f"{n}.jpg",
        _casme(
            "CASME-coding.xlsx",
            ["Subject", "Filename", None, "OnsetF", "ApexF1", "ApexF2", "OffsetF", None, "AU", "Emotion"],
            True,
        ),
    ),
    "casme2": Layout(
        200,
        lambda v: f"CASME2-RAW/sub{v.subject:02d}/EP{v.clip:02d}_01f",
        lambda v, n: f"img{n}.jpg",
        _casme(
            "CASME2-coding-20140508.xlsx",
            [
                "Subject",
                "Filename",
                None,
                "OnsetFrame",
                "ApexFrame",
                "OffsetFrame",
                None,
                "Action Units",
                "Estimated Emotion",
            ],
            False,
        ),
        words=("happiness", "disgust", "surprise", "repression", "others"),
    ),
    "samm": Layout(
        200,
        lambda v: f"SAMM/{v.subject:03d}/{_samm_name(v)}",
        lambda v, n: f"{v.subject:03d}_{n:05d}.jpg",
        _samm,
        grey=True,
        words=("anger", "happiness", "surprise", "other"),
        first_number=lambda s, c: 3000 + 1000 * s + 500 * c,
    ),
    "samm_lv": Layout(
        200,
        lambda v: f"SAMM_longvideos/{v.subject:03d}_{v.clip}",
        lambda v, n: f"{v.subject:03d}_{v.clip}_{n:04d}.jpg",
        _samm_lv,
        clips=1,
        seconds=16,
        micro=2,
        macro=2,
        grey=True,
    ),
    "casme_sq": Layout(
        30,
        lambda v: f"rawpic/s{SUBJECTS[v.subject - 1]}/{SUBJECTS[v.subject - 1]}_{list(FILMS.values())[v.clip - 1]}film",
        lambda v, n: f"img{n:03d}.jpg",
        _squared,
        seconds=16,
        micro=2,
        macro=2,
        words=("negative", "positive", "surprise", "others"),
    ),
    "casme3a": Layout(
        30,
        lambda v: f"part_A/spNO.{v.subject}/{'ab'[v.clip - 1]}/color",
        lambda v, n: f"{n}.jpg",
        _casme3a,
        seconds=16,
        micro=2,
        macro=2,
        words=("happy", "disgust", "surprise", "Others"),
    ),
    "casme3c": Layout(
        30,
        lambda v: f"part_C/{v.subject}",
        lambda v, n: f"{n}.jpg",
        _casme3c,
        clips=1,
        seconds=10,
        micro=3,
        words=("negative", "positive", "surprise", "others"),
    ),
    "smic_hs": _smic_layout("HS", 100, False),
    "smic_vis": _smic_layout("VIS", 25, False),
    "smic_nir": _smic_layout("NIR", 25, False),
    "smic_hs_e": _smic_layout("HS", 100, True),
    "smic_vis_e": _smic_layout("VIS", 25, True),
    "smic_nir_e": _smic_layout("NIR", 25, True),
    "mmew": Layout(
        90,
        lambda v: f"Micro_Expression/{v.emotion}/S{v.subject:02d}-01-{v.clip:03d}",
        lambda v, n: f"{n}.jpg",
        _short_table(
            "MMEW_Micro_Exp.xlsx",
            [
                "Subject",
                "Filename",
                "OnsetFrame",
                "ApexFrame",
                "OffsetFrame",
                "Action Units",
                "Estimated Emotion",
                "remarks",
            ],
            lambda v, m, e, fps: [v.subject, f"S{v.subject:02d}-01-{v.clip:03d}", *m, e.aus, e.emotion, ""],
            [1, "S99-01-001", 1, 2, 3, "4", "fear", ""],
        ),
    ),
    "4dme": Layout(
        60,
        lambda v: f"gray_micro/{v.subject}/{v.subject}_clip{v.clip}",
        lambda v, n: f"Frame_{n:09d}.jpg",
        _short_table(
            "4DME_Labelling_Micro_release v1.xlsx",
            _FOUR_DME,
            lambda v, m, e, fps: [v.subject, f"{v.subject}_clip{v.clip}", e.emotion, *m, f"{e.aus}(k)", "", ""],
            [99, "99_clip1", "fear", 1, 2, 3, "4", "", ""],
        ),
        grey=True,
        first_number=lambda s, c: 1800 + 100 * s,
    ),
    "dfme": Layout(
        300,
        lambda v: f"DFME_train/sub{v.subject:04d}_{v.clip:02d}",
        lambda v, n: f"{n:05d}.png",
        _short_table(
            "DFME_train.csv",
            ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Emotion", "EmotionId", "Fps", "AU"],
            lambda v, m, e, fps: [
                f"sub{v.subject:04d}",
                f"sub{v.subject:04d}_{v.clip:02d}",
                *m,
                e.emotion,
                4,
                f"{fps:g}",
                e.aus,
            ],
            ["sub0099", "sub0099_01", 1, 2, 3, "fear", 3, "300", "AD38"],
        ),
        first_number=lambda s, c: 0,
        fixed_fps=False,
        clips=1,
    ),
    "plain": Layout(
        25,
        lambda v: f"videos/p{v.subject}_{v.clip}",
        lambda v, n: f"frame{n}.bmp",
        _plain,
        fixed_fps=False,
        seconds=10,
        micro=2,
        macro=1,
    ),
}
