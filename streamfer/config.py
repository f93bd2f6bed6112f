"""Every option of streamfer as one tree: defaults here, meanings beside them, `configs/default.yaml` written from it.

Order of precedence: command line (`--set faces.max_faces=2`), environment (`STREAMFER_FACES__MAX_FACES=2`),
a YAML file (`--config`), the defaults. An unknown key is an error that names the nearest known one.
`digest` covers only what changes the events, so that moving the output folder keeps event ids.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from streamfer.errors import UsageError

ENV_PREFIX = "STREAMFER_"


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class Video(Section):
    reader: Literal["av", "decord"] = Field(
        "av", description="decoder of video files; decord is optional and only for local files"
    )
    threads: int = Field(0, ge=0, description="decoder threads, 0 = one per core")
    queue_frames: int = Field(16, ge=1, le=512, description="frames decoded ahead of the analysis; bounds memory")
    fps: float | None = Field(None, gt=0, description="frame rate of a folder of frames or a raw stream (other files carry their times)")
    start_s: float = Field(0.0, ge=0, description="skip everything before this time")
    end_s: float | None = Field(None, gt=0, description="stop at this time")


class Faces(Section):
    landmarks: str = Field(
        "bundled", description="'bundled' (MediaPipe FaceMesh, refined) or the path of a face_landmarker.task"
    )
    max_faces: int = Field(4, ge=1, le=32, description="faces followed at once; more cost time")
    min_size_px: float = Field(40.0, ge=0, description="narrower faces are followed but marked not usable")
    max_yaw_deg: float = Field(45.0, gt=0, le=90, description="faces turned further are marked not usable")
    min_sharpness: float = Field(8.0, ge=0, description="below this variance of the Laplacian a face is marked blurred")
    min_detection: float = Field(0.5, gt=0, le=1, description="confidence that a new face needs")
    min_tracking: float = Field(0.5, gt=0, le=1, description="confidence below which a face is searched again")
    lost_s: float = Field(0.5, ge=0, description="a track survives this long without its face")
    scene_cut: float = Field(
        0.45, gt=0, description="change of structure between frames (1 - correlation, 0-2) that ends all tracks"
    )
    people: bool = Field(
        True, description="join tracks of one person by face embedding; false makes each track a person"
    )
    people_decide_s: float = Field(
        1.0, gt=0, description="time a new face may stay undecided before it becomes a new person"
    )
    people_distance: float = Field(
        0.5, gt=0, description="largest embedding distance (dlib, Euclidean) for the same person"
    )
    people_margin: float = Field(0.06, ge=0, description="the best person must be nearer than the second by this much")


class ActionUnits(Section):
    model: str = Field(
        "perception",
        description="'perception', 'landmarks' (bundled) or the path of an ONNX file that keeps the contract in docs/au-model.md",
    )
    look_hz: float = Field(
        10.0, ge=0, description="how often 'perception' looks at the skin, between which landmarks carry on; 0 = every frame"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="where the AU model runs; cuda is an error when it is not there"
    )
    threads: int = Field(1, ge=1, description="threads of the AU model")
    baseline: Literal["auto", "off"] = Field("auto", description="take each person's neutral level off")
    baseline_quantile: float = Field(
        0.2, gt=0, lt=1, description="quantile of the usable frames that counts as neutral"
    )
    baseline_window_s: float = Field(60.0, gt=0, description="time constant with which the neutral level may drift")
    baseline_min_s: float = Field(2.0, ge=0, description="usable time before the correction starts")
    neutral: dict[str, str] = Field(
        default_factory=dict, description="stated neutral segments, for example P1: '0:10-0:20'"
    )
    presence_threshold: float = Field(
        1.0, gt=0, lt=5, description="corrected intensity from which an AU counts as present (AUxx_c)"
    )


class Screening(Section):
    micro: bool = Field(True, description="look for micro-expressions")
    macro: bool = Field(True, description="look for macro-expressions")
    micro_max_s: float = Field(0.5, gt=0, description="longest micro-expression, onset to offset")
    macro_max_s: float = Field(8.0, gt=0, description="longest macro-expression; a longer one is cut and flagged")
    min_score: float = Field(0.5, ge=0, le=1, description="events below this score are not reported")
    max_events_per_minute: float | None = Field(None, gt=0, description="keep only the best events of each minute")
    full_fps: float = Field(25.0, gt=0, description="from this frame rate on micro events are trusted")
    min_fps: float = Field(15.0, gt=0, description="below this frame rate no micro events are reported")


class Expression(Section):
    model: str = Field(
        "perception", description="what reads the whole face of an event's onset and apex: perception, an ONNX file, or none"
    )
    micro_model: str | None = Field(
        None, description="ONNX file of a micro-expression recogniser (docs/recognition.md); none gives no labels"
    )


class Queue(Section):
    url: str | None = Field(
        None, description="redis://, rediss:// or unix:// address; none starts a private Valkey for the run"
    )
    name: str = Field("sf", pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="prefix of all keys")
    lease_s: float = Field(30.0, gt=0, description="a job whose worker is silent for so long is given to another")
    max_deliveries: int = Field(3, ge=1, description="after so many tries a job goes to the dead letters")
    limit: int = Field(
        1000, ge=1, description="jobs waiting at most; a file waits, a live source drops the lowest score"
    )
    ttl_s: float = Field(86400.0, gt=0, description="pictures and duplicate marks are forgotten after this time")
    jpeg_quality: int = Field(
        95, ge=92, le=100, description="quality of the key frames, always without chroma subsampling"
    )
    image_px: int = Field(448, ge=64, le=2048, description="side of the square key frames")


class Explain(Section):
    backend: Literal["auto", "nano", "composer", "openai", "transformers", "none"] = Field(
        "auto", description="who writes the chain of thought; auto: nano, and the composer for what nano is refused"
    )
    model: str | None = Field(
        None, description="nano: folder of another ExpLLM; openai: the model's name at the server; transformers: folder of a model"
    )
    base: str | None = Field(
        None, description="nano: folder of the checkpoint that explain.model is an adapter for; without it, where it was trained"
    )
    adapter: str | None = Field(None, description="transformers: folder of a LoRA adapter (peft) for the model")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="nano, transformers: where the model runs")
    threads: int = Field(1, ge=1, description="nano: CPU threads; more only help on a machine that does nothing else")
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = Field(
        "auto", description="transformers: number format of the weights; auto takes the best that the device has"
    )
    url: str | None = Field(None, description="openai: address of the server up to its version, as http://127.0.0.1:8000/v1")
    api_key_env: str | None = Field(
        None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="openai: name of the environment variable that holds the server's key; the key itself is written nowhere",
    )
    requests: int = Field(8, ge=1, le=64, description="openai: requests in flight at once")
    connect_s: float = Field(5.0, gt=0, description="openai: time to reach the server")
    read_s: float = Field(120.0, gt=0, description="openai: time for one whole answer")
    retries: int = Field(
        4, ge=0, le=20, description="openai: more tries after 429, 500-504, a closed connection or no answer in time"
    )
    attempts: int = Field(
        3, ge=1, le=10, description="texts asked for at most; each after the first is told what was wrong with the last"
    )
    max_tokens: int = Field(700, ge=32, le=8192, description="longest text a model may write")
    temperature: float = Field(0.0, ge=0, le=2, description="0 takes the likeliest words; more varies them")
    pictures: tuple[Literal["onset", "apex", "offset"], ...] = Field(
        ("onset", "apex"), description="key frames that a model is shown; none leaves it the evidence table alone"
    )
    batch: int = Field(8, ge=1, le=256, description="jobs a worker takes at once")
    wait_s: float = Field(0.02, ge=0, description="time a worker waits to fill a batch")
    timeout_s: float = Field(600.0, gt=0, description="time to wait for explanations after the last frame")
    floor: float = Field(0.5, ge=0, le=5, description="AU change below which an AU is no evidence")

    @field_validator("url")
    @classmethod
    def _no_secret(cls, url: str | None) -> str | None:
        if url and ("@" in url or "?" in url):  # it goes into run.json and logs as it is
            raise ValueError("must not hold a password or a query: name an environment variable in explain.api_key_env")
        return url


class Output(Section):
    folder: str = Field("out", description="results go to FOLDER/<source name>/")
    name: str | None = Field(
        None, pattern=r"^[^/\x00.][^/\x00]*$", description="name of the results' folder in FOLDER; only for a single source"
    )
    formats: tuple[str, ...] = Field(
        ("csv", "eaf", "vtt", "html"), description="written at the end: csv eaf vtt srt textgrid parquet html overlay"
    )
    signals: str | None = Field(
        None, description="write every stage's signal to this Parquet file (or 'auto': beside the results)"
    )
    landmarks: bool = Field(False, description="add the 68 landmarks (x_0 ... y_67) to faces.csv")
    keyframes: bool = Field(True, description="write onset, apex and offset pictures")


class Config(Section):
    video: Video = Video()
    faces: Faces = Faces()
    action_units: ActionUnits = ActionUnits()
    screening: Screening = Screening()
    expression: Expression = Expression()
    queue: Queue = Queue()
    explain: Explain = Explain()
    output: Output = Output()

    def digest(self) -> str:
        """16 hex digits over all that changes frames, faces, AUs and events; queue, explain and output do not."""
        parts = self.model_dump(mode="json", include={"video", "faces", "action_units", "screening"})
        for neutral_to_result in ("threads", "queue_frames"):
            parts["video"].pop(neutral_to_result)
        parts["action_units"].pop("threads")
        parts["action_units"].pop("device")
        if self.expression.micro_model is not None:  # it writes into events; without one digests stay as they were
            parts["micro_model"] = self.expression.micro_model
        if self.expression.model != Expression().model:
            parts["expression_model"] = self.expression.model
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def load(
    path: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> tuple[Config, dict[str, str]]:
    """The configuration, and for each dotted key that is not a default where its value comes from.

    Raises UsageError for an unreadable file, an unknown key (naming the nearest) or a value out of range.
    """
    tree: dict[str, Any] = {}
    origin: dict[str, str] = {}
    if path is not None:
        _merge(tree, origin, _flatten(_read_yaml(Path(path))), str(path))
    env = os.environ if environ is None else environ
    known_env = {
        key[len(ENV_PREFIX) :].lower().replace("__", "."): yaml.safe_load(value)
        for key, value in env.items()
        if key.startswith(ENV_PREFIX) and "__" in key
    }
    _merge(tree, origin, known_env, "environment")
    _merge(tree, origin, dict(overrides or {}), "command line")
    try:
        return Config.model_validate(tree), origin
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"config: {key}: {first['msg']} (from {origin.get(key, 'the config')})") from None


def changes(config: Config) -> dict[str, Any]:
    """Dotted keys and values of all that is not a default, in plain JSON types: `load(None, changes(c))` gives `c`."""
    now, default = config.model_dump(mode="json"), Config().model_dump(mode="json")
    return {
        f"{section}.{key}": value
        for section, options in now.items()
        for key, value in options.items()
        if value != default[section][key]
    }


def known_keys() -> list[str]:
    """All dotted keys."""
    return [f"{s}.{k}" for s, f in Config.model_fields.items() for k in f.annotation.model_fields]  # type: ignore[union-attr]


def parse_assignment(text: str) -> tuple[str, Any]:
    """'faces.max_faces=2' -> ('faces.max_faces', 2); the value is YAML."""
    key, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--set {text}: write it as section.key=value")
    return key.strip(), yaml.safe_load(value)


def to_yaml(config: Config, origin: Mapping[str, str] | None = None) -> str:
    """The whole tree as YAML with each option's meaning; keys that are not defaults name their origin."""
    lines = ["# streamfer: every option, its value and its meaning. Written by `streamfer config show`.", ""]
    for section_name in Config.model_fields:
        section = getattr(config, section_name)
        lines.append(f"{section_name}:")
        for key, info in type(section).model_fields.items():
            source = (origin or {}).get(f"{section_name}.{key}")
            lines.append(f"  # {info.description}" + (f"  [from {source}]" if source else ""))
            value = getattr(section, key)
            value = list(value) if isinstance(value, tuple) else value
            text = yaml.safe_dump({key: value}, default_flow_style=True, allow_unicode=True, width=10_000).strip()
            lines.append(f"  {text[1:-1]}")
        lines.append("")
    return "\n".join(lines)


def mask(url: str | None) -> str:
    """An address with its password hidden, for messages, logs and run.json."""
    if not url:
        return ""
    url = re.sub(r"(?i)([?&][a-z_]*(?:password|passwd|pwd|token|secret)=)[^&#]*", r"\1***", url)
    if "@" not in url:
        return url
    scheme, _, rest = url.partition("://")
    credentials, _, host = rest.rpartition("@")
    user, colon, _ = credentials.partition(":")
    return f"{scheme}://{user}{':***' if colon else ''}@{host}"


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise UsageError(f"config file {path}: {error.strerror or error}") from None
    except yaml.YAMLError as error:
        raise UsageError(f"config file {path} is not YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(data, dict):
        raise UsageError(f"config file {path}: expected sections such as 'faces:', found {type(data).__name__}")
    return data


def _flatten(tree: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for section, values in tree.items():
        if isinstance(values, Mapping):
            flat.update({f"{section}.{key}": value for key, value in values.items()})
        else:
            flat[str(section)] = values
    return flat


def _merge(tree: dict[str, Any], origin: dict[str, str], flat: Mapping[str, Any], source: str) -> None:
    keys = known_keys()
    for dotted, value in flat.items():
        if dotted not in keys:
            near = difflib.get_close_matches(dotted, keys, n=1, cutoff=0.4)
            hint = f"; did you mean '{near[0]}'?" if near else "; `streamfer config show` lists them all"
            raise UsageError(f"unknown option '{dotted}' ({source}){hint}")
        section, key = dotted.split(".", 1)
        tree.setdefault(section, {})[key] = value
        origin[dotted] = source
