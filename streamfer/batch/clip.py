"""One clip of a data set: what is to be done, how it ended, and the doing of it in whatever process.

Every engine ends in `streamfer.runs.Analyst.analyze` with the configuration that `clip_config` makes, so a clip's files do
not depend on who made them. docs/batch.md lists the few fields that say something about the run itself.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamfer.config import Config
from streamfer.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_SOURCE_DAMAGED, OutputError
from streamfer.reporting.folder import RUN
from streamfer.threads import few_heaps

if TYPE_CHECKING:
    from streamfer.datasets.records import Clip
    from streamfer.output import What

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ClipJob:
    """A clip, as it travels to another process or machine. Paths are absolute: others see the same storage."""

    subject: str
    name: str  # of its output folder
    path: str
    fps: float

    @classmethod
    def of(cls, clip: Clip) -> ClipJob:
        return cls(clip.subject, clip.name, str(clip.path.resolve()), clip.fps)


@dataclass(frozen=True, slots=True)
class ClipEnd:
    """How a clip ended. `message` is "" when all went well."""

    job: ClipJob
    exit_code: int
    message: str = ""
    seconds: float = 0.0
    skipped: bool = False  # an earlier run had finished it
    fatal: bool = False  # the other clips would fail in the same way (a full disk)


def clip_options(job: ClipJob) -> dict[str, Any]:
    """The options, by dotted key, in which this clip differs from the others. A video file keeps its own times."""
    return {"video.fps": job.fps, "output.name": job.name}


def clip_config(job: ClipJob, config: Config) -> Config:
    tree = config.model_dump()
    for key, value in clip_options(job).items():
        section, name = key.split(".")
        tree[section][name] = value
    return Config.model_validate(tree)


def clip_folder(job: ClipJob, config: Config) -> Path:
    return Path(config.output.folder) / job.name


def read_run(folder: Path) -> dict[str, Any] | None:
    """run.json of an output folder, or None where there is none that can be read."""
    try:
        run = json.loads((folder / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return run if isinstance(run, dict) else None


def finished(job: ClipJob, config: Config) -> ClipEnd | None:
    """How an earlier run with these options finished the clip, as its run.json tells; None when it has to be done.

    Left as they are: clips that were analysed to their end (0), or to where their frames are damaged (4). A clip whose
    explanations failed or could not be asked for is done again, which only asks for the explanations.
    """
    run = read_run(clip_folder(job, config))
    if run is None or run.get("status") not in ("done", "damaged"):
        return None
    if run.get("exit_code") not in (EXIT_DONE, EXIT_SOURCE_DAMAGED) or run.get("source", {}).get("path") != job.path:
        return None
    if run.get("config_digest") != clip_config(job, config).digest():
        return None
    seconds = float(run.get("timings_s", {}).get("total", 0.0))
    message = "; ".join(run.get("warnings", [])) if run["exit_code"] else ""
    return ClipEnd(job, run["exit_code"], message, seconds, skipped=True)


class ClipRunner:
    """Analyses clips one after the other in this process, with one model and one explainer for all of them."""

    def __init__(self, config: Config, what: What, command: str) -> None:
        self._config, self._what, self._command = config, what, command
        self._stack = contextlib.ExitStack()
        self._analyst: Any = None
        few_heaps()

    def __enter__(self) -> ClipRunner:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, job: ClipJob) -> ClipEnd:
        """Never raises for what is wrong with the clip: its reason is the ending's message."""
        from streamfer.jobs.worker import one_line
        from streamfer.runs import Analyst, stop_on_signals

        started = time.perf_counter()
        try:
            with stop_on_signals() as stop:
                if self._analyst is None:
                    self._analyst = self._stack.enter_context(Analyst(self._config))
                outcome = self._analyst.analyze(
                    Path(job.path),
                    clip_folder(job, self._config),
                    clip_config(job, self._config),
                    what=self._what,
                    stop=stop,
                    command=self._command,
                )
        except Exception as error:  # a fault in the program: this clip's, and told as such
            log.exception("%s: %s", job.name, error)
            return ClipEnd(job, EXIT_FAILED, one_line(error), time.perf_counter() - started)
        return ClipEnd(
            job,
            outcome.exit_code,
            outcome.message or explain_code(outcome.exit_code, outcome.folder),
            time.perf_counter() - started,
            fatal=isinstance(outcome.error, OutputError),
        )


def explain_code(code: int, folder: Path) -> str:
    """A sentence for a clip that ended with a code but without an error: what its run.json warns of."""
    if code == EXIT_DONE:
        return ""
    if code == EXIT_INTERRUPTED:
        return "interrupted: --resume goes on"
    warnings = (read_run(folder) or {}).get("warnings", [])
    return "; ".join(warnings) or f"`streamfer explain {folder}` finishes its explanations"
