"""`streamfer doctor`: every automatic choice with its reason, and every trap this machine holds.

Exit code 0 when the program can work, 5 when something it needs is missing. It changes nothing.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from streamfer.cli._common import config_options, load_config

OK, NOTE, BAD = "ok", "note", "BAD"
Finding = tuple[str, str, str]
"""(OK | NOTE | BAD, what, fact with its reason or remedy)"""


@click.command()
@config_options
def command(config_path: str | None, assignments: tuple[str, ...]) -> int:
    """Check this machine and name every automatic choice."""
    from streamfer.errors import EXIT_DONE, EXIT_MODEL_MISSING, StreamferError

    config, _ = load_config(config_path, assignments, {})
    bad = 0
    for check in (
        _python,
        _packages,
        _twins,
        _decoder,
        _landmarks,
        lambda: _au_model(config),
        _identity,
        lambda: _queue(config),
        _space,
        lambda: _backend(config),
    ):
        try:
            findings: list[Finding] = list(check())
        except StreamferError as error:
            findings = [(BAD, type(error).__name__, str(error))]
        except Exception as error:  # a broken installation can raise anything, and telling so is this command's work
            findings = [(BAD, getattr(check, "__name__", "check").strip("_"), f"{type(error).__name__}: {error}")]
        for level, what, fact in findings:
            bad += level == BAD
            colour = {OK: "green", NOTE: "yellow", BAD: "red"}[level]
            click.echo(f"{click.style(f'{level:4}', fg=colour)}  {what:12}  {fact}")
    return EXIT_MODEL_MISSING if bad else EXIT_DONE


def _python() -> Iterator[Finding]:
    from streamfer import __version__
    from streamfer.video.source import usable_cores

    cores = usable_cores()
    yield (
        OK,
        "streamfer",
        f"{__version__}, Python {platform.python_version()}, {platform.machine()}, {cores} cores usable",
    )
    if not (3, 11) <= sys.version_info[:2] < (3, 13):
        yield BAD, "python", "MediaPipe 0.10.21 has no wheel for this Python: use 3.11 or 3.12"


def _packages() -> Iterator[Finding]:
    for package, why in (
        ("av", "decoding"),
        ("mediapipe", "landmarks"),
        ("numpy", "arrays"),
        ("scipy", "filters"),
        ("redis", "queue"),
        ("pandas", "tables"),
        ("pydantic", "records"),
        ("plotly", "report"),
    ):
        version = _version(package)
        yield (
            (OK, package, f"{version} ({why})")
            if version
            else (BAD, package, f"not installed ({why}): pip install streamfer")
        )


def _twins() -> Iterator[Finding]:
    """Distributions that install the same module: the later one has overwritten the earlier."""
    for module, names in {
        "cv2": ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"),
        "onnxruntime": ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino"),
        "decord": ("decord", "decord2", "eva-decord"),
    }.items():
        found = [name for name in names if _version(name)]
        if len(found) > 1:
            yield (
                BAD,
                module,
                f"installed twice ({' and '.join(found)}): pip uninstall -y {' '.join(found)}, then install one",
            )
        elif not found and module == "onnxruntime":
            yield BAD, module, "not installed: pip install 'streamfer[cpu]' (or [gpu])"
        elif not found and module == "decord":
            yield NOTE, module, "not installed; only `--reader decord` needs it"
        elif found:
            yield OK, module, f"{found[0]} {_version(found[0])}"


def _decoder() -> Iterator[Finding]:
    import av

    version = ".".join(map(str, av.library_versions["libavcodec"]))
    missing = [name for name in ("h264", "hevc", "vp9", "av1", "mjpeg") if name not in av.codecs_available]
    yield (
        (NOTE, "codecs", f"libavcodec {version} lacks {', '.join(missing)}")
        if missing
        else (OK, "codecs", f"libavcodec {version}: h264, hevc, vp9, av1, mjpeg")
    )


def _landmarks() -> Iterator[Finding]:
    spec = importlib.util.find_spec("mediapipe")
    assert spec is not None and spec.origin is not None
    model = Path(spec.origin).parent / "modules/face_landmark/face_landmark_with_attention.tflite"
    yield (
        (OK, "face mesh", "MediaPipe's bundled model, on the CPU")
        if model.exists()
        else (
            BAD,
            "face mesh",
            "this mediapipe carries no models: pip install mediapipe==0.10.21, or set faces.landmarks to a face_landmarker.task",
        )
    )


def _au_model(config) -> Iterator[Finding]:  # type: ignore[no-untyped-def]
    from streamfer.action_units.model import AUModel

    units = config.action_units
    info = AUModel.load(units.model, device=units.device, threads=units.threads).info
    yield (
        OK,
        "AU model",
        f"{info.name} {info.version}, {len(info.aus)} columns, on {info.provider} ({info.provider_reason})",
    )
    from streamfer.runs import load_expression

    eye = load_expression(config, AUModel.load(units.model, device=units.device, threads=units.threads))
    yield OK, "whole face", "off" if eye is None else f"{eye.info.name} {eye.info.version}, at onset and apex of events"


def _identity() -> Iterator[Finding]:
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or importlib.util.find_spec("dlib") is None:
        yield (
            BAD,
            "people",
            "dlib-bin or face_recognition_models is not installed: pip install streamfer, or set faces.people=false",
        )
    else:
        yield OK, "people", "dlib face embedding, weights from face_recognition_models"


def _queue(config) -> Iterator[Finding]:  # type: ignore[no-untyped-def]
    from streamfer.config import mask
    from streamfer.jobs.embedded import EmbeddedServer
    from streamfer.jobs.queue import connect

    if config.queue.url is None:
        with EmbeddedServer() as server:
            version = connect(server.url).info("server").get("valkey_version", "?")
        yield OK, "queue", f"private Valkey {version} on a unix socket, started for each run (no queue.url is set)"
        return
    client = connect(config.queue.url)
    server_info, memory = client.info("server"), client.info("memory")
    yield (
        OK,
        "queue",
        f"{mask(config.queue.url)}: version {server_info.get('valkey_version') or server_info.get('redis_version')}",
    )
    policy = memory.get("maxmemory_policy")
    if policy != "noeviction":
        yield BAD, "queue", f"maxmemory-policy is {policy}: the server may throw jobs away; set noeviction"
    if not client.info("persistence").get("aof_enabled"):
        yield NOTE, "queue", "append-only file is off: a restart of the server loses the jobs in it"


def _space() -> Iterator[Finding]:
    free_gb = shutil.disk_usage(".").free / 1e9
    yield (NOTE if free_gb < 2 else OK), "disk", f"{free_gb:.1f} GB free here"


def _backend(config) -> Iterator[Finding]:  # type: ignore[no-untyped-def]
    if config.explain.backend == "none":
        yield NOTE, "explanations", "off (explain.backend is none)"
        return
    from streamfer.expllm.backends import load

    backend = load(config.explain.backend, config.explain)
    yield OK, "explanations", f"{backend.name}: {backend.model}, revision {backend.revision}"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


_Check = Callable[[], Iterator[Finding]]
