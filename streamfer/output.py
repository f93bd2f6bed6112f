"""The output folder of one source while it is written: rows, events, pictures, explanations, run.json.

`Output.open` decides whether the folder is new, can be gone on with, or belongs to something else; the `OpenOutput` it
gives takes what the pipeline finds. run.json is replaced in one step whenever something in it changes, so a killed run
can be told by its "status": running | done | damaged | interrupted | failed. Everything that was dropped is counted there.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from streamfer import __version__
from streamfer.config import Config, mask
from streamfer.errors import (
    EXIT_DONE,
    EXIT_EXPLANATIONS_FAILED,
    EXIT_INTERRUPTED,
    EXIT_SOURCE_DAMAGED,
    OutputError,
    OutputMismatch,
    UsageError,
)
from streamfer.memory import give_back, peak_mb
from streamfer.records import SCHEMA, Event, KeyFrame, Result, SourceCounts, SourceInfo
from streamfer.reporting import folder as files
from streamfer.reporting.faces_csv import FacesCsv, repair
from streamfer.resume import Resume

if TYPE_CHECKING:
    import numpy as np

    from streamfer.action_units.model import AUModel
    from streamfer.explaining import Explainer
    from streamfer.faces.people import Gallery, People
    from streamfer.progress import Progress

log = logging.getLogger(__name__)

What = Literal["new", "resume", "overwrite"]

_STATUS = {EXIT_DONE: "done", EXIT_SOURCE_DAMAGED: "damaged", EXIT_INTERRUPTED: "interrupted"}
_RUN_EVERY_S = 5.0
_PEOPLE_EVERY_S = 10.0
PEOPLE = "people.json"
_PACKAGES = ("av", "mediapipe", "onnxruntime", "onnxruntime-gpu", "opencv-contrib-python", "numpy", "scipy", "dlib-bin")


class Output:
    """The folder OUT/<name>/ of one source."""

    def __init__(self, folder: Path, *, what: What = "new", command: str = "") -> None:
        self.folder = folder
        self._what = what
        self._command = command

    def finished(self, info: SourceInfo, config: Config) -> int | None:
        """The exit code with which an earlier run finished this very analysis, so that `resume` may leave it as it is;
        None when there is something to do."""
        run = self._earlier()
        if self._what != "resume" or run is None:
            return None
        self._check_same(run, info, config)
        return {"done": EXIT_DONE, "damaged": EXIT_SOURCE_DAMAGED}.get(run.get("status", ""))

    @contextlib.contextmanager
    def open(self, info: SourceInfo, counts: SourceCounts, model: AUModel, config: Config) -> Iterator[OpenOutput]:
        """Prepare the folder and write to it. Raises OutputMismatch, UsageError or OutputError."""
        with translated(self.folder):
            resume = self._prepare(info, config)
            out = OpenOutput(self.folder, info, counts, model, config, resume, self._command)
            try:
                yield out
            except BaseException as error:
                with contextlib.suppress(OSError):  # the first error is the one to report
                    out.fail(error)
                raise
            finally:
                out.close()

    def explain_and_export(
        self,
        config: Config,
        explainer: Explainer | None,
        code: int,
        progress: Progress,
        stop: threading.Event,
        *,
        again: bool = False,
    ) -> int:
        """Wait for explanations (asking again for those that are missing), merge them, write the other formats.

        `again` asks for all of them; an old text goes only when there is a new one in its place.
        """  # fmt: skip
        from streamfer.reporting import write_formats

        give_back()  # what decoding and looking needed, so that the reports do not come on top of it
        with translated(self.folder):
            if explainer is not None:
                code = self._explain(explainer, code, progress, stop, again)
            files.merge(self.folder)
            if stop.is_set():
                return EXIT_INTERRUPTED
            started = time.perf_counter()
            written = write_formats(self.folder, config.output.formats)
            log.debug("wrote %s in %.1f s", ", ".join(path.name for path in written), time.perf_counter() - started)
            self._finish_run(code, time.perf_counter() - started)
        return code

    def _explain(self, explainer: Explainer, code: int, progress: Progress, stop: threading.Event, again: bool) -> int:
        analysis = files.load(self.folder)
        missing = analysis.unexplained()
        without = {event.id for event in missing}
        for event in analysis.events if again else missing:
            explainer.submit(event, _pictures(analysis, event))  # known ones are not asked twice
        kept = {event.id for event in analysis.events} - without if again else set()
        del analysis  # loaded again below: hours have many events
        for result in explainer.finish(stop):
            if result.cot is None and result.id in kept:
                log.warning("event %s keeps its old explanation: %s", result.id, "; ".join(result.reasons))
                continue
            kept.discard(result.id)
            files.append(self.folder / files.EXPLANATIONS, result)
            progress.explained(result)
        if explainer.failed is not None and code == EXIT_DONE:
            log.warning("the events are on disk; `streamfer explain %s` finishes their explanations", self.folder)
            return explainer.failed.exit_code
        missing = files.load(self.folder).unexplained()
        if kept and not missing and code == EXIT_DONE:
            log.warning(
                "no new explanation for %d events, which keep the old one: %s", len(kept), ", ".join(sorted(kept))
            )
            return EXIT_EXPLANATIONS_FAILED
        if missing and code == EXIT_DONE:
            log.warning("%d explanations failed: %s", len(missing), ", ".join(event.id for event in missing))
            return EXIT_EXPLANATIONS_FAILED
        return code

    def _finish_run(self, code: int, report_s: float) -> None:
        path = self.folder / files.RUN
        run = json.loads(path.read_text(encoding="utf-8"))
        analysis = files.load(self.folder)
        run["exit_code"] = code
        run["explanations"] = dict(
            Counter("missing" if e.result is None else "failed" if e.result.cot is None
                    else "verified" if e.result.verified else "unverified" for e in analysis.explained)
        )  # fmt: skip
        run["timings_s"]["reports"] = round(report_s, 3)
        run["peak_memory_mb"] = max(run.get("peak_memory_mb", 0), peak_mb())
        files.replace_text(path, json.dumps(run, indent=1, ensure_ascii=False))

    def _prepare(self, info: SourceInfo, config: Config) -> Resume:
        run = self._earlier()
        if run is None or self._what == "overwrite":
            self._clear()
            self.folder.mkdir(parents=True, exist_ok=True)
            return Resume()
        if self._what == "new":
            raise UsageError(
                f"{self.folder} holds results already ({run.get('status')}): --resume goes on or leaves them as they are, "
                "--overwrite starts again"
            )
        self._check_same(run, info, config)
        files.repair(self.folder)
        faces = self.folder / files.FACES
        if faces.exists():
            repair(faces)
        events = files.load(self.folder).events
        return Resume.of(self.folder, events, config)

    def _check_same(self, run: dict[str, Any], info: SourceInfo, config: Config) -> None:
        if run.get("source", {}).get("digest") != info.digest:
            raise OutputMismatch(
                f"{self.folder} holds the results of another source ({run.get('source', {}).get('path')}): "
                "give another folder (-o) or --overwrite"
            )
        if run.get("config_digest") != config.digest():
            raise OutputMismatch(
                f"{self.folder} was made with another configuration ({run.get('config_digest')}, now {config.digest()}): "
                "go on with the same options, or give another folder (-o) or --overwrite"
            )

    def _earlier(self) -> dict[str, Any] | None:
        path = self.folder / files.RUN
        if not path.exists():
            if self.folder.is_dir() and any(self.folder.iterdir()) and self._what == "overwrite":
                raise UsageError(
                    f"{self.folder} is not empty and holds no results of streamfer: nothing is deleted there"
                )
            return None
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise UsageError(f"{path} is not JSON: is {self.folder} an output folder? give another with -o") from None

    def _clear(self) -> None:
        """Delete what earlier runs wrote, and nothing else."""
        for path in self.folder.glob("*"):
            if path.name == files.KEYFRAMES:
                shutil.rmtree(path)
            elif path.is_file() and path.name.startswith(("faces.", "events.", "explanations.", "run.", "people.", "report.",
                                                          "overlay.", "signals.")):  # fmt: skip
                path.unlink()


class OpenOutput:
    """Takes rows, events, pictures and explanations as they come."""

    def __init__(
        self, folder: Path, info: SourceInfo, counts: SourceCounts, model: AUModel, config: Config, resume: Resume,
        command: str,
    ) -> None:  # fmt: skip
        self.resume = resume
        self._folder = folder
        self._counts = counts
        self._quality = config.queue.jpeg_quality
        self._keep_pictures = config.output.keyframes
        self._events = Counter(event.kind for event in resume.events)
        self._written = self._people_saved = time.monotonic()
        self._started = time.perf_counter()
        self.run: dict[str, Any] = {
            "schema": SCHEMA,
            "streamfer": __version__,
            "status": "running",
            "exit_code": None,
            "command": mask_command(command, config),
            "started": _now(),
            "ended": None,
            "source": {**asdict(info), "path": mask(info.path)},
            "config_digest": config.digest(),
            "config": _masked(config),
            "au_model": asdict(model.info),
            "python": sys.version.split()[0],
            "packages": _versions(),
            "resumed_from_frame": resume.next_frame or None,
            "counts": {},
            "events": {},
            "people": [],
            "merges": [],
            "screening": {},
            "warnings": [],
            "timings_s": {},
        }
        self.write_run()
        self.faces = FacesCsv(
            folder / files.FACES,
            model.names,
            threshold=config.action_units.presence_threshold,
            landmarks=config.output.landmarks,
            append=resume.next_frame > 0,
        )
        self.signals = _signals(folder, config)

    def maps(self, event: Event, apex: tuple[np.ndarray, np.ndarray] | None, model: AUModel | None) -> None:
        """What the model looked at in the apex picture (and its landmarks), for models that can tell; before the event."""
        if self._keep_pictures and apex is not None and model is not None:
            from streamfer.expression.facemaps import record

            record(self._folder / files.KEYFRAMES, event, *apex, model)

    def event(self, event: Event, pictures: Sequence[tuple[KeyFrame, np.ndarray]]) -> None:
        """Pictures first, so that an event on disk always has them."""
        if self._keep_pictures and pictures:
            from streamfer.jobs.images import encode

            (self._folder / files.KEYFRAMES).mkdir(exist_ok=True)
            for key, image in pictures:
                path = self._folder / files.KEYFRAMES / f"{event.id}_{key.role}.jpg"
                path.write_bytes(encode(image, self._quality))
        files.append(self._folder / files.EVENTS, event)
        self._events[event.kind] += 1
        self.write_run(at_most_every_s=_RUN_EVERY_S)

    def result(self, result: Result) -> None:
        files.append(self._folder / files.EXPLANATIONS, result)

    def warn(self, text: str) -> None:
        self.run["warnings"].append(text)

    def end(self, code: int, timings_s: dict[str, float], people: People, screened: dict[str, int]) -> None:
        """The analysis is over; explanations and reports may follow. `screened` counts candidates by what became of them."""
        self.faces.close()
        if code == EXIT_INTERRUPTED:
            people.gallery.save(self._folder / PEOPLE)
        else:  # only a run that goes on needs the pictures of faces in it
            (self._folder / PEOPLE).unlink(missing_ok=True)
        self.run["status"] = _STATUS.get(code, "failed")
        self.run["exit_code"] = code
        self.run["ended"] = _now()
        self.run["people"] = sorted(people.gallery.people, key=lambda name: (len(name), name))
        self.run["merges"] = people.merges
        self.run["screening"] = screened
        self.run["timings_s"] = {
            "total": round(time.perf_counter() - self._started, 3),
            **{name: round(seconds, 3) for name, seconds in timings_s.items()},
        }
        self.write_run()

    def save_people(self, gallery: Gallery) -> None:
        """For a run that is killed: faces that come back after --resume keep their names."""
        if time.monotonic() - self._people_saved > _PEOPLE_EVERY_S:
            self._people_saved = time.monotonic()
            gallery.save(self._folder / PEOPLE)

    def fail(self, error: BaseException) -> None:
        self.run["status"] = "failed"
        self.run["warnings"].append(f"{type(error).__name__}: {error}")
        self.write_run()

    def close(self) -> None:
        self.faces.close()
        if self.signals is not None:
            self.signals.close()

    def write_run(self, at_most_every_s: float = 0.0) -> None:
        if time.monotonic() - self._written < at_most_every_s:
            return
        self._written = time.monotonic()
        self.run["counts"] = asdict(self._counts)
        self.run["events"] = {"micro": self._events["micro"], "macro": self._events["macro"]}
        self.run["peak_memory_mb"] = peak_mb()
        files.replace_text(self._folder / files.RUN, json.dumps(self.run, indent=1, ensure_ascii=False))


@contextlib.contextmanager
def translated(folder: Path) -> Iterator[None]:
    """A failure to write becomes an OutputError that says what to do; whatever is on disk stays valid."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            what = "the disk is full: make room"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            what = "no permission to write there: choose another folder with -o"
        else:
            what = f"{error.strerror or error}"
        raise OutputError(
            f"{error.filename or folder}: cannot be written ({what}); what is there is valid, --resume goes on from it"
        ) from error


def _pictures(analysis: files.Analysis, event: Event) -> list[tuple[KeyFrame, np.ndarray]]:
    from streamfer.jobs.images import decode

    pictures = []
    for role, moment in (("onset", event.onset), ("apex", event.apex), ("offset", event.offset)):
        path = analysis.keyframe(event, role)
        if path is not None:
            pictures.append((KeyFrame(role, moment.frame, moment.time_s), decode(path.read_bytes())))  # type: ignore[arg-type]
    return pictures


def _signals(folder: Path, config: Config) -> Any:
    if config.output.signals is None:
        return None
    from streamfer.reporting.signals import SignalsFile

    path = folder / "signals.parquet" if config.output.signals == "auto" else Path(config.output.signals)
    return SignalsFile(path)


def _masked(config: Config) -> dict[str, Any]:
    tree = config.model_dump(mode="json")
    return {**tree, "queue": {**tree["queue"], "url": mask(config.queue.url) or None}}


def mask_command(command: str, config: Config) -> str:
    return command.replace(config.queue.url, mask(config.queue.url)) if config.queue.url else command


def _versions() -> dict[str, str]:
    import importlib.metadata

    found = {}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
