"""The vocabulary of streamfer: every value that passes between its parts, as small frozen dataclasses.

Read this file first. Conventions that hold everywhere:

* Time is `time_s`, seconds on the source's own clock, 0 at its first frame, from presentation time
  stamps (PTS), never index / fps. `frame` counts the frames that the decoder delivered, from 0.
* Images are uint8 arrays (H, W, 3) in RGB, rotation already applied.
* **Left and right are the person's own** (the left eye is on the right of an unmirrored picture).
* AU intensity is FACS 0-5: 0 absent, 1 = A trace, 2 = B slight, 3 = C marked, 4 = D severe, 5 = E maximum.
* AU columns are named `AU12_L`, `AU12_R` (sided) or `AU17` (whole face), always two digits.
* Lengths on the face are fractions of the distance between the inner eye corners (`IED`), so that they
  mean the same on a face 80 or 800 pixels wide.

Records that leave the process (Event, Job, Result) carry `schema`; `to_json` and `from_json` convert and
validate them. Records that hold arrays never leave the process.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    import numpy as np

SCHEMA = 1
"""Version of every record that is written to disk or sent over a queue."""

Kind = Literal["micro", "macro"]
Side = Literal["left", "right", "both"]
Measure = Literal["model", "movement"]
Label = Literal["neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt"]
LABELS: tuple[Label, ...] = (
    "neutral",
    "happiness",
    "sadness",
    "surprise",
    "fear",
    "disgust",
    "anger",
    "contempt",
)
"""The closed list of expression labels, in this order everywhere (model outputs included)."""

T = TypeVar("T")


class _ShortRepr:
    """A repr that shows the shape of an array instead of its pixels."""

    __slots__ = ()

    def __repr__(self) -> str:
        parts = []
        for f in fields(self):  # type: ignore[arg-type]
            value = getattr(self, f.name)
            shape = getattr(value, "shape", None)
            parts.append(f"{f.name}=array{tuple(shape)}" if shape is not None else f"{f.name}={value!r}")
        return f"{type(self).__name__}({', '.join(parts)})"


# ------------------------------------------------------------------------------------------- video


@dataclass(frozen=True, slots=True, repr=False)
class Frame(_ShortRepr):
    """One decoded picture. `segment` grows at every reconnect of a live source: no event spans two segments."""

    index: int
    time_s: float
    image: np.ndarray  # (H, W, 3) uint8 RGB
    segment: int = 0


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What is known about a source. Facts that only the end of the stream tells are in `SourceCounts`."""

    name: str  # file or folder name without its ending: also the name of the output folder
    path: str  # as given, passwords masked
    kind: Literal["file", "frames", "live"]
    width_px: int  # after rotation
    height_px: int
    fps: float  # average rate that the container claims, or the option for a folder of frames; 0 when unknown
    duration_s: float | None  # as claimed, None when unknown
    frames_claimed: int | None
    rotation_deg: int  # as stored in the file; already applied to the images
    codec: str
    digest: str  # identifies the content: part of every event id
    reader: str  # "av", "decord" or "frames"
    media_offset_s: float = 0.0  # when the first frame is shown on the media's own clock (a player's, ELAN's)
    start_wall_unix_s: float | None = None  # live sources: wall time of frame 0


@dataclass(slots=True)
class SourceCounts:
    """What happened while reading, grown by the reader. Nothing is dropped without being counted here."""

    decoded: int = 0  # frames delivered
    damaged: int = 0  # packets that could not be decoded, and frames withheld because they show that damage
    time_not_advancing: int = 0  # frames dropped because their PTS did not grow
    time_restarts: int = 0  # the stream's clock jumped back and ran on: a new segment, time goes on
    without_time: int = 0  # frames without a PTS, dropped
    missing: int = 0  # folders of frames: numbers that no file has; time passes, nothing is made up
    duplicated: int = 0  # frames equal to the one before (delivered, but counted: telecine, frozen camera)
    dropped_live: int = 0  # live only: the queue was full and the oldest frame went
    reconnects: int = 0
    min_step_s: float = 0.0
    max_step_s: float = 0.0


# ------------------------------------------------------------------------------------------- faces


@dataclass(frozen=True, slots=True)
class Box:
    """A face box in pixels of the image: left, top, width, height."""

    x: float
    y: float
    w: float
    h: float


@dataclass(frozen=True, slots=True)
class HeadPose:
    """Rotation in radians and translation in millimetres, camera frame, OpenFace's signs (pose_Rx, Ry, Rz)."""

    rx: float  # pitch
    ry: float  # yaw
    rz: float  # roll
    tx: float = 0.0
    ty: float = 0.0
    tz: float = 0.0


@dataclass(frozen=True, slots=True)
class Quality:
    """Why a face can or cannot be measured. `usable` False has a `reason` in words that fit a CSV cell."""

    size_px: float  # inner-eye-corner distance times 4: about the face width
    sharpness: float  # variance of the Laplacian on the aligned face
    yaw_deg: float
    occlusion: float  # 0 free ... 1 hidden
    usable: bool
    reason: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Face(_ShortRepr):
    """One face in one frame, followed as `track` (continuous presence) and, once known, as `person`."""

    track: int
    person: str  # "P1", "P2" ...; "" while undecided
    box: Box
    landmarks: np.ndarray  # (478, 3) float32, x and y in image pixels, z in the same unit
    pose: HeadPose
    quality: Quality
    confidence: float = 1.0


# ------------------------------------------------------------------------------------ action units


@dataclass(frozen=True, slots=True, repr=False)
class AUReading(_ShortRepr):
    """AU intensities of one face in one frame: as measured, and with the person's neutral level taken off."""

    names: tuple[str, ...]  # K column names such as "AU12_L"
    raw: np.ndarray  # (K,) float32, 0-5
    corrected: np.ndarray  # (K,) float32, 0-5


@dataclass(frozen=True, slots=True, repr=False)
class MotionReading(_ShortRepr):
    """Movement of one face since it was last measured, head motion taken off. Lengths in IED."""

    regions: tuple[str, ...]  # R region names, see screening/flow.py
    flow: np.ndarray  # (R, 2) float32, displacement over the last `step_s`; x right, y down, face upright
    rigid: tuple[float, ...]  # the head motion taken off: shift x, shift y, scale, roll, turn, nod
    valid: bool = True  # False on the first frame of a track and after a gap
    step_s: float = 0.0  # time that the displacement covers; 0 on frames skipped at high frame rates
    misfit: float = 0.0  # robust sigma of what the rigid motion leaves over on rigid areas
    geometry: np.ndarray | None = None  # (G,) float32, landmark distances, names in screening/flow.py
    position: np.ndarray | None = None  # (R, 2) float32, landmarks of the regions, head motion off: noisy but free of drift

    @property
    def head(self) -> float:
        """Size of the head motion over the step, in IED."""
        return sum(value * value for value in self.rigid) ** 0.5


@dataclass(frozen=True, slots=True)
class Reading:
    """All that the screener needs about one face in one frame: numbers only, no picture."""

    frame: int
    time_s: float
    segment: int
    track: int
    person: str
    usable: bool
    aus: AUReading | None
    motion: MotionReading | None
    yaw_deg: float = 0.0
    pitch_deg: float = 0.0


# ---------------------------------------------------------------------------------------- screening


@dataclass(frozen=True, slots=True)
class Moment:
    """A point of the timeline."""

    frame: int
    time_s: float


@dataclass(frozen=True, slots=True)
class AUChange:
    """What one AU did in an event: `intensity` at the apex (0-5) and `delta` against the onset."""

    au: str  # "AU12"
    side: Side  # "both" when both sides moved, or the AU has no sides
    intensity: float
    delta: float
    source: Measure = "model"  # which instrument gave the larger value: the AU model, or the movement of the region


@dataclass(frozen=True, slots=True)
class RegionMotion:
    """How far one region moved from onset to apex, in IED, and where to (seen from the camera)."""

    region: str
    distance: float
    direction_deg: float  # 0 = to the right of the picture, 90 = up
    direction: str  # the same as an octant in words: "up", "up-left" ...


@dataclass(frozen=True, slots=True)
class Recognised:
    """The class that a trained recogniser gives an event, from its movement between onset and apex (docs/recognition.md)."""

    label: str  # one of the recogniser's own classes, such as "negative", "positive", "surprise"
    probability: float
    source: str  # name, version and digest of the model


FACE_REGIONS = ("brows", "eyes", "nose", "cheeks", "mouth", "chin")


@dataclass(frozen=True, slots=True)
class Expressed:
    """What the expression model makes of the whole face at onset and at apex: probabilities in the order of LABELS."""

    onset: tuple[float, ...]
    apex: tuple[float, ...]
    source: str  # name, version and digest of the model
    looked: tuple[float, ...] | None = None
    """How strongly it looked at each of FACE_REGIONS for its best label at the apex, 0-1 of the strongest one."""

    @property
    def best(self) -> tuple[Label, float]:
        """The likeliest label at the apex and its probability."""
        place = max(range(len(LABELS)), key=self.apex.__getitem__)
        return LABELS[place], self.apex[place]


@dataclass(frozen=True, slots=True)
class Event:
    """One facial action with its evidence. `id` is the same whenever the same clip is analysed the same way."""

    id: str
    source: str
    person: str
    track: int
    kind: Kind
    onset: Moment
    apex: Moment
    offset: Moment
    rise_s: float
    duration_s: float
    aus: tuple[AUChange, ...]
    motion: tuple[RegionMotion, ...]
    score: float  # 0-1: how sure the screener is that this is a facial action of that kind
    flags: tuple[str, ...] = ()
    recognised: Recognised | None = None  # None: no recogniser was given, or it had no pictures to look at
    expressed: Expressed | None = None  # None: no expression model was given, or the pictures were gone
    schema: int = SCHEMA


# ------------------------------------------------------------------------------------ jobs, results


@dataclass(frozen=True, slots=True)
class KeyFrame:
    """A picture that travels with a job, stored under its own key of the queue, as JPEG."""

    role: Literal["onset", "apex", "offset"]
    frame: int
    time_s: float


@dataclass(frozen=True, slots=True)
class Job:
    """Ask for an explanation of one event. The pictures travel beside it, one for each of `images`."""

    id: str  # the event's id: asking twice gives one answer
    event: Event
    images: tuple[KeyFrame, ...]
    created_unix_s: float
    priority: Literal["live", "batch"] = "batch"
    schema: int = SCHEMA


@dataclass(frozen=True, slots=True)
class VideoJob:
    """Ask a screen worker to analyse one video. Paths are as the worker sees them (shared storage)."""

    id: str
    path: str
    output: str
    options: dict[str, Any] = field(default_factory=dict)  # config overrides, dotted keys
    created_unix_s: float = 0.0
    schema: int = SCHEMA


@dataclass(frozen=True, slots=True)
class ChainOfThought:
    """The explanation: three sections and a label from the closed list."""

    observations: str
    interpretation: str
    conclusion: str
    label: Label


@dataclass(frozen=True, slots=True)
class Result:
    """The answer to a Job, whichever backend gave it."""

    id: str
    cot: ChainOfThought | None  # None when it failed: `reasons` says why
    verified: bool
    reasons: tuple[str, ...]  # why it is not verified, or what failed
    backend: str
    model: str
    revision: str
    order: Literal["cot_first", "label_first", "none"]
    attempts: int
    tokens: int
    latency_s: float
    worker: str
    label_probabilities: dict[str, float] | None = None
    schema: int = SCHEMA


@dataclass(frozen=True, slots=True)
class VideoResult:
    """How the analysis of a VideoJob ended; the results themselves are in its output folder."""

    id: str
    exit_code: int  # as of the program, see errors.py
    message: str  # "" when all went well
    counts: dict[str, int]  # frames, faces, events ... whatever the analysis counted
    took_s: float
    worker: str
    schema: int = SCHEMA


# --------------------------------------------------------------------------------------- JSON


@cache
def _adapter(cls: Any) -> Any:
    # pydantic checks plain dataclasses from outside, so this module stays free of it until JSON is met
    from pydantic import TypeAdapter

    return TypeAdapter(cls)


def to_dict(record: Any) -> dict[str, Any]:
    """A record as plain JSON types. Floats are rounded to 6 decimals: microseconds and millionths are noise."""
    return _round(_adapter(type(record)).dump_python(record, mode="json"))  # type: ignore[arg-type]


def to_json(record: Any) -> str:
    """One line of JSON."""
    return json.dumps(to_dict(record), ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def from_json(cls: type[T], text: str | bytes) -> T:
    """Parse and validate. Raises PayloadInvalid, whose message names the field that is wrong."""
    return _validated(cls, lambda adapter: adapter.validate_json(text))


def from_dict(cls: type[T], data: dict[str, Any]) -> T:
    """As `from_json`, from plain JSON types."""
    return _validated(cls, lambda adapter: adapter.validate_python(data))


def _validated(cls: type[T], parse: Any) -> T:
    from pydantic import ValidationError

    from streamfer.errors import PayloadInvalid

    try:
        record = parse(_adapter(cls))  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole record"
        raise PayloadInvalid(f"not a valid {cls.__name__}: {where}: {first['msg']}") from None
    schema = getattr(record, "schema", SCHEMA)
    if schema != SCHEMA:
        raise PayloadInvalid(
            f"{cls.__name__} has schema {schema}, this streamfer reads {SCHEMA}: use the same version on both sides"
        )
    return record


def _round(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {k: _round(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_round(v) for v in value]
    return value
