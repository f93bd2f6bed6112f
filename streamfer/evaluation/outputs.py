"""A data set beside what was found in it: the annotations and the events of each clip, in the same frame numbers.

`compare` pairs each clip of a `Dataset` with its folder in what `streamfer analyze --dataset` wrote; `compare_spots` does
the same with a submission of any program. Frame numbers are the data set's own: those in the names of the frames' files,
or counted from 1 in a video, as the challenges count them. A picture that a folder lacks is time that passed; the
annotated frame then has the number of its file.

A clip that was not analysed to its end would look like a clip in which nothing was found, so it is an error unless
`partial` is given; then it is left out and named. An annotation without onset or offset cannot be scored: it is counted,
and no detection near it is forgiven. All people found in a clip share its one line of time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from streamfer.errors import UsageError
from streamfer.evaluation.folds import person
from streamfer.evaluation.spotting import Spot
from streamfer.records import Event, Kind, Moment
from streamfer.reporting.folder import RUN, Analysis, Explained, load

if TYPE_CHECKING:
    from streamfer.datasets.records import Annotation, Clip, Dataset

_FINISHED = ("done", "damaged")


@dataclass(frozen=True, slots=True)
class Found:
    """One clip. `annotations` are beside `truths`, `events` beside `predictions` (None: not streamfer's own)."""

    clip: Clip
    truths: tuple[Spot, ...]
    annotations: tuple[Annotation, ...]
    predictions: tuple[Spot, ...]
    events: tuple[Explained | None, ...]
    folder: Path | None = None
    unscorable: tuple[Annotation, ...] = ()

    @property
    def person(self) -> str:
        return person(self.clip.dataset, self.clip.subject)

    def keeping(self, minimum: dict[Kind, float]) -> Found:
        """Without predictions that score less than the minimum of their kind."""
        kept = [i for i, spot in enumerate(self.predictions) if spot.score >= minimum[spot.kind]]
        return replace(
            self, predictions=tuple(self.predictions[i] for i in kept), events=tuple(self.events[i] for i in kept)
        )


@dataclass(frozen=True, slots=True)
class Compared:
    """A whole data set. `missing` are clips that were left out because their analysis is not there."""

    dataset: str
    clips: tuple[Found, ...]
    missing: tuple[str, ...] = ()

    @property
    def truths(self) -> list[Spot]:
        return [spot for clip in self.clips for spot in clip.truths]

    @property
    def predictions(self) -> list[Spot]:
        return [spot for clip in self.clips for spot in clip.predictions]

    @property
    def subjects(self) -> dict[str, str]:
        """Clip name -> key of the person."""
        return {clip.clip.name: clip.person for clip in self.clips}

    @property
    def unscorable(self) -> int:
        return sum(len(clip.unscorable) for clip in self.clips)


def compare(dataset: Dataset, out: str | Path, partial: bool = False) -> Compared:
    """A data set and the output folder of its analysis. Raises UsageError when clips are missing, see above."""
    out = Path(out)
    clips: list[Found] = []
    missing: list[str] = []
    for clip in dataset.clips:
        analysis = load(out / clip.name) if (out / clip.name / RUN).exists() else None
        if analysis is None or analysis.run.get("status") not in _FINISHED:
            missing.append(clip.name)
            continue
        numbers = _frame_numbers(clip, analysis)
        truths, annotations, unscorable = _truths(clip, numbers)
        predictions = tuple(_prediction(clip, explained.event) for explained in analysis.explained)
        clips.append(
            Found(clip, truths, annotations, predictions, tuple(analysis.explained), analysis.folder, unscorable)
        )
    _check_missing(dataset, out, missing, partial)
    return Compared(dataset.name, tuple(clips), tuple(missing))


def compare_spots(dataset: Dataset, predictions: Iterable[Spot]) -> Compared:
    """A data set and intervals in its own frame numbers. Raises UsageError for a video that it does not have."""
    groups: dict[str, list[Spot]] = {clip.name: [] for clip in dataset.clips}
    for spot in predictions:
        if spot.video not in groups:
            raise UsageError(
                f"video '{spot.video}' is not in the data set {dataset.name}; its clips are called such as "
                f"{', '.join(list(groups)[:3]) or 'nothing: it is empty'}"
            )
        groups[spot.video].append(spot)
    clips = []
    for clip in dataset.clips:
        truths, annotations, unscorable = _truths(clip, _frame_numbers(clip))
        found = tuple(_retimed(clip, spot) for spot in groups[clip.name])
        clips.append(Found(clip, truths, annotations, found, (None,) * len(found), None, unscorable))
    return Compared(dataset.name, tuple(clips))


def first_number(clip: Clip) -> int:
    """The number of a clip's first frame: its file's, or 1."""
    return 1 if clip.first_number is None else clip.first_number


def _check_missing(dataset: Dataset, out: Path, missing: Sequence[str], partial: bool) -> None:
    if len(missing) == len(dataset.clips):
        raise UsageError(
            f"{out}: none of the {len(missing)} clips of {dataset.name} is in it (looked for {out}/<clip name>/{RUN}); "
            f"give the folder that `streamfer analyze --dataset {dataset.name}` wrote"
        )
    if missing and not partial:
        raise UsageError(
            f"{out}: {len(missing)} of {len(dataset.clips)} clips are not analysed to their end ({', '.join(missing[:3])}"
            f"{' ...' if len(missing) > 3 else ''}); go on with `streamfer analyze --dataset {dataset.name} ... --resume`, "
            "or score the others with --partial"
        )


def _frame_numbers(clip: Clip, analysis: Analysis | None = None) -> list[int] | None:
    """The number of each frame's file; None where they are known to follow each other."""
    known_whole = analysis is not None and not analysis.run.get("counts", {}).get("missing")
    if known_whole or not clip.path.is_dir():
        return None
    from streamfer.video.frames import frame_files, places  # brings OpenCV

    first = first_number(clip)
    return [first + place for place in places(frame_files(clip.path))]


def _truths(
    clip: Clip, numbers: list[int] | None
) -> tuple[tuple[Spot, ...], tuple[Annotation, ...], tuple[Annotation, ...]]:
    def moment(index: int) -> Moment:
        first = first_number(clip)
        inside = numbers is not None and 0 <= index < len(numbers)
        return _moment(clip, numbers[index] if numbers is not None and inside else first + index)

    spots, kept, unscorable = [], [], []
    for note in clip.annotations:
        if note.onset is None or note.offset is None or note.offset < note.onset:
            unscorable.append(note)
            continue
        apex = None if note.apex is None else moment(note.apex)
        spots.append(Spot(clip.name, note.kind, moment(note.onset), moment(note.offset), apex))
        kept.append(note)
    return tuple(spots), tuple(kept), tuple(unscorable)


def _prediction(clip: Clip, event: Event) -> Spot:
    first = first_number(clip)
    onset, apex, offset = (_moment(clip, first + at.frame) for at in (event.onset, event.apex, event.offset))
    return Spot(clip.name, event.kind, onset, offset, apex, event.score)


def _retimed(clip: Clip, spot: Spot) -> Spot:
    apex = None if spot.apex is None else _moment(clip, spot.apex.frame)
    return replace(spot, onset=_moment(clip, spot.onset.frame), offset=_moment(clip, spot.offset.frame), apex=apex)


def _moment(clip: Clip, number: int) -> Moment:
    return Moment(number, (number - first_number(clip)) / clip.fps)
