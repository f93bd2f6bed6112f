"""The one loop: a source in, its output folder out. Read `analyze_source` from top to bottom.

    decode            own thread   Frame                        streamfer.video
    look for faces    own thread   landmarks, scene cuts        streamfer.faces
    follow them       here         tracks, pose, quality        streamfer.faces
    measure           here         AU intensities, region flow  streamfer.action_units, streamfer.screening.flow
    hold              here         until every face of a frame is known to be somebody (about a second)
    screen            here         events                       streamfer.screening
    write, explain    here         files, jobs                  streamfer.reporting, streamfer.explaining

Frames flow through in order and nothing is kept of them but numbers and a bounded ring of face crops, so a
two-hour file needs the memory of a two-minute one. Everything that could not be used is counted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from streamfer.action_units.baseline import Baseline
from streamfer.action_units.model import AUModel
from streamfer.action_units.paced import PacedModel
from streamfer.config import Config
from streamfer.errors import EXIT_DONE, EXIT_INTERRUPTED, SourceDamaged
from streamfer.faces.follower import Follower, Looked
from streamfer.faces.people import Gallery, People
from streamfer.keyframes import KeyFrames
from streamfer.progress import Progress
from streamfer.records import AUReading, Event, Expressed, Face, Frame, MotionReading, Reading, Recognised
from streamfer.screening.flow import RegionFlow
from streamfer.screening.screener import Screener
from streamfer.threads import ahead
from streamfer.video import Source, open_video

if TYPE_CHECKING:
    import numpy as np

    from streamfer.explaining import Explainer
    from streamfer.expression.micro import MicroModel
    from streamfer.output import OpenOutput, Output

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Followed:
    """One frame with its faces, and the tracks whose person became known with it. The last has no frame."""

    frame: Frame | None
    faces: tuple[Face, ...]
    ended_tracks: tuple[int, ...]
    persons: dict[int, str]


@dataclass(frozen=True, slots=True)
class Measured:
    """One face of a frame, measured: numbers only."""

    face: Face
    aus: np.ndarray  # (K,) 0-5, as the model gives them
    motion: MotionReading


@dataclass(frozen=True, slots=True)
class Row:
    """One frame, measured, waiting until its people are known."""

    frame: int
    time_s: float
    segment: int
    faces: tuple[Measured, ...]
    ended_tracks: tuple[int, ...]


def analyze_source(
    path: Path,
    config: Config,
    output: Output,
    *,
    model: AUModel,
    recogniser: MicroModel | None = None,
    expression: AUModel | None = None,
    explainer: Explainer | None = None,
    gallery: Gallery | None = None,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> int:
    """Analyse one source into its output folder; returns the exit code.

    Raises SourceError when it cannot be opened, OutputError when the results cannot be written. A source that
    breaks part-way is no exception: what was read is kept and the code is 4.
    """
    progress = progress or Progress()
    stop = stop or threading.Event()
    with open_video(path, config.video) as source:
        code = output.finished(source.info, config)
        if code is not None:
            log.info("%s: done before, left as it is", output.folder)
            return code
        return _analyze(source, output, config, model, recogniser, expression, explainer, gallery, progress, stop)


def _analyze(
    source: Source,
    output: Output,
    config: Config,
    model: AUModel,
    recogniser: MicroModel | None,
    expression: AUModel | None,
    explainer: Explainer | None,
    gallery: Gallery | None,
    progress: Progress,
    stop: threading.Event,
) -> int:
    code = EXIT_DONE
    clock = StageClock()
    with output.open(source.info, source.counts, model, config) as out:
        out.run["micro_model"] = asdict(recogniser.info) if recogniser is not None else None
        out.run["expression_model"] = asdict(expression.info) if expression is not None else None
        resume = out.resume
        people = People(config.faces, gallery=resume.gallery(gallery))
        follower = Follower(config.faces, people)
        follower.seed(resume.next_track)
        baseline = Baseline(config.action_units, model.names)
        resume.replay(baseline)
        units, flow = PacedModel.of(model, config.action_units), RegionFlow()
        screener = Screener(
            config.screening,
            source=source.info.name,
            source_digest=source.info.digest,
            config_digest=config.digest(),
            fps_hint=source.info.fps,
            record=out.signals,
        )
        keyframes = KeyFrames(
            screener.lookback_s + config.screening.macro_max_s + config.faces.people_decide_s, config.queue.image_px
        )
        hold = Hold()
        progress.start(source.info)

        def screen(rows: Iterable[Row]) -> Iterator[Event]:
            """Everything that happens to a frame once its people are known."""
            for row in rows:
                written = []
                for measured in row.faces:
                    face = replace(measured.face, person=hold.person(measured.face.track))
                    corrected, neutral_s = baseline.push(
                        face.person or f"track {face.track}", row.time_s, measured.aus, face.quality.usable
                    )
                    aus = AUReading(model.names, measured.aus, corrected)
                    written.append((face, aus, neutral_s))
                    yield from screener.push(reading_of(row, face, aus, measured.motion))
                if row.frame >= resume.next_frame:
                    out.faces.write(row.frame, row.time_s, written)
                for track in row.ended_tracks:
                    yield from screener.end_track(track)
                    keyframes.forget(track)

        def publish(events: Iterable[Event]) -> None:
            for event in events:
                if not resume.is_new(event):
                    continue
                if recogniser is not None and event.kind == "micro":
                    event = replace(event, recognised=recognise(recogniser, event, keyframes))
                if expression is not None:
                    event = replace(event, expressed=express(expression, event, keyframes))
                pictures = keyframes.of(event)
                out.maps(event, keyframes.apex(event), expression)
                out.event(event, pictures)
                progress.event(event)
                if explainer is not None:
                    explainer.submit(event, pictures)

        frames = ahead(source, config.video.queue_frames, "decode")
        looked = ahead(look(frames, follower, resume.warm_from_s), config.video.queue_frames, "look")
        followed = follow(looked, follower, people, out)  # not in a thread: measured, it waits for the interpreter more than it gains
        try:
            for seen in followed:
                hold.decide(seen.persons)
                if seen.frame is not None:
                    with clock("measure"):
                        measured = measure(seen, units, flow)
                    for face in seen.faces:
                        keyframes.push(seen.frame, face)
                    for track in seen.ended_tracks:
                        flow.forget(track)
                        units.forget(track)
                    hold.push(Row(seen.frame.index, seen.frame.time_s, seen.frame.segment, measured, seen.ended_tracks))
                    progress.frame(seen.frame.time_s, len(seen.faces))
                with clock("screen and write"):
                    publish(screen(hold.ready()))
                if explainer is not None:
                    for result in explainer.poll():
                        out.result(result)
                        progress.explained(result)
                if stop.is_set():
                    code = EXIT_INTERRUPTED
                    break
        except SourceDamaged as error:
            log.warning("%s", error)
            out.warn(str(error))
            code = error.exit_code
        finally:  # the threads first, then what they use: networks are not freed by themselves
            looked.close()
            frames.close()
            follower.close()
        if code != EXIT_INTERRUPTED:
            publish(screen(hold.all()))
            publish(screener.flush())
        if screener.micro_reason and config.screening.micro:
            out.warn(f"no micro-expressions: {screener.micro_reason}")
        for person in baseline.unmet:
            out.warn(f"the stated neutral segment of {person} held no usable face of {person}")
        out.end(code, clock.seconds, people, dict(screener.counts))
        return code


def look(frames: Iterable[Frame], follower: Follower, from_s: float) -> Iterator[Looked]:
    """Landmarks of every frame from where the analysis starts."""
    for frame in frames:
        if frame.time_s >= from_s:
            yield follower.look(frame)


def follow(looked: Iterable[Looked], follower: Follower, people: People, out: OpenOutput) -> Iterator[Followed]:
    """Faces of every frame, each with what became known about its people."""
    resume = out.resume
    undecided: set[int] = set()

    def decisions() -> dict[int, str]:
        known = {track: person for track in undecided if (person := follower.person_of(track)) is not None}
        undecided.difference_update(known)
        return known

    for found in looked:
        seen = follower.follow(found)
        out.save_people(people.gallery)
        undecided.update(face.track for face in seen.faces)
        known = decisions()
        faces, renamed = resume.same_tracks(found.frame, seen.faces, known)
        yield Followed(found.frame, faces, tuple(renamed.get(t, t) for t in seen.ended_tracks), known)
    follower.flush()
    yield Followed(None, (), (), decisions())


def measure(seen: Followed, units: PacedModel, flow: RegionFlow) -> tuple[Measured, ...]:
    """AU intensities of all faces in one call, and how each face's regions moved."""
    assert seen.frame is not None
    if not seen.faces:
        return ()
    return tuple(
        Measured(face, aus, flow.push(seen.frame, face))
        for face, aus in zip(seen.faces, units.read(seen.frame, seen.faces), strict=True)
    )


def recognise(recogniser: MicroModel, event: Event, keyframes: KeyFrames) -> Recognised | None:
    """The recogniser's class of an event; None where its onset and apex are not both in memory any more."""
    from streamfer.expression.micro import FacePicture

    pictures = [FacePicture(image, landmarks) for image, landmarks in keyframes.onset_and_apex(event)]
    return recogniser.recognise(*pictures) if pictures else None


def express(model: AUModel, event: Event, keyframes: KeyFrames) -> Expressed | None:
    """What the whole face looks like at onset and apex; None where these are not both in memory any more."""
    from streamfer.expression.facemaps import looked

    pictures = keyframes.onset_and_apex(event)
    seen = [model.look(image, landmarks) for image, landmarks in pictures]
    if len(seen) != 2 or seen[0] is None or seen[1] is None:
        return None
    onset, apex = (tuple(round(float(p), 4) for p in one.expression) for one in seen if one is not None)
    return Expressed(onset, apex, model.source, looked(seen[1], pictures[1][1]))


def reading_of(row: Row, face: Face, aus: AUReading, motion: MotionReading) -> Reading:
    quality = face.quality
    return Reading(
        frame=row.frame,
        time_s=row.time_s,
        segment=row.segment,
        track=face.track,
        person=face.person,
        usable=quality.usable,
        aus=aus,
        motion=motion,
        yaw_deg=quality.yaw_deg,
        pitch_deg=face.pose.rx * 57.29578,
    )


class Hold:
    """Rows in order, released once every face in them is decided. A decision never takes longer than
    `faces.people_decide_s`, which bounds what is held."""

    def __init__(self) -> None:
        self._rows: deque[Row] = deque()
        self._persons: dict[int, str] = {}

    def decide(self, persons: dict[int, str]) -> None:
        self._persons.update(persons)

    def person(self, track: int) -> str:
        return self._persons.get(track, "")

    def push(self, row: Row) -> None:
        self._rows.append(row)

    def ready(self) -> Iterator[Row]:
        while self._rows and all(m.face.track in self._persons for m in self._rows[0].faces):
            yield self._rows.popleft()

    def all(self) -> Iterator[Row]:
        """What is left when the source has ended; an undecided face stays unknown."""
        while self._rows:
            yield self._rows.popleft()


class StageClock:
    """Seconds spent in named stages of the main thread."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._name = ""
        self._started = 0.0

    def __call__(self, name: str) -> StageClock:
        self._name = name
        return self

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds[self._name] = self.seconds.get(self._name, 0.0) + time.perf_counter() - self._started


__all__ = ["analyze_source"]
