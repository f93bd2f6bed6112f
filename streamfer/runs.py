"""From a list of sources to finished output folders: what `streamfer analyze` and `streamfer.analyze` call.

One model and one explainer serve all sources. One source that fails does not end the run; the exit code is
that of the first failure. SIGINT and SIGTERM end the current source cleanly: what is there is valid and
`resume` goes on from it.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from streamfer.config import Config
from streamfer.errors import (
    EXIT_DONE,
    EXIT_INTERRUPTED,
    OutputError,
    StreamferError,
    UsageError,
)
from streamfer.explaining import Explainer
from streamfer.output import Output, What
from streamfer.progress import Progress

if TYPE_CHECKING:
    from streamfer.action_units.model import AUModel
    from streamfer.expression.micro import MicroModel
    from streamfer.faces.people import Gallery

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one source ended."""

    source: Path
    folder: Path
    exit_code: int
    message: str = ""
    error: StreamferError | None = None


class Analyst:
    """One AU model and one explainer for any number of sources, whoever hands them over. A context manager."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Analyst:
        self._model, self._recogniser = load_model(self._config), load_recogniser(self._config)
        self._expression = load_expression(self._config, self._model)
        self._stack.enter_context(one_thread_each())
        self._explainer = self._stack.enter_context(Explainer(self._config))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def analyze(
        self,
        path: Path,
        folder: Path,
        config: Config,
        *,
        what: What,
        stop: threading.Event,
        gallery: Gallery | None = None,
        progress: Progress | None = None,
        command: str = "",
    ) -> Outcome:
        """Analyse one source into `folder`. `config` may differ from the analyst's own in the source and its output."""
        output = Output(folder, what=what, command=command)
        try:
            code = self._one(path, config, output, gallery, progress or Progress(), stop)
            return Outcome(path, folder, code)
        except StreamferError as error:
            log.error("%s", error)
            return Outcome(path, folder, error.exit_code, str(error), error)

    def _one(
        self, path: Path, config: Config, output: Output, gallery: Gallery | None, progress: Progress, stop: threading.Event
    ) -> int:
        from streamfer.pipeline import analyze_source

        explainer = self._explainer if config.explain.backend != "none" else None
        code = EXIT_DONE
        try:
            code = analyze_source(
                path, config, output, model=self._model, recogniser=self._recogniser, expression=self._expression,
                explainer=explainer, gallery=gallery, progress=progress, stop=stop,
            )  # fmt: skip
            if code != EXIT_INTERRUPTED:
                code = output.explain_and_export(config, explainer, code, progress, stop)
        finally:
            progress.end(code)
        return code


def load_model(config: Config) -> AUModel:
    """The AU model that the options ask for, and a line in the log about where it runs."""
    from streamfer.action_units.model import AUModel
    from streamfer.reporting import check_formats

    check_formats(config.output.formats)
    units = config.action_units
    model = AUModel.load(units.model, device=units.device, threads=units.threads)
    info = model.info
    log.info("AU model %s %s on %s (%s)", info.name, info.version, info.provider, info.provider_reason)
    return model


def load_expression(config: Config, model: AUModel) -> AUModel | None:
    """What reads the whole face of key moments: the model of that name, else the AU model if it can, else nothing."""
    from streamfer.action_units.model import AUModel
    from streamfer.errors import ModelContract

    spec, units = config.expression.model, config.action_units
    if spec == "none":
        return model if model.spatial else None
    if spec == units.model:
        found = model
    else:
        found = AUModel.load(spec, device=units.device, threads=units.threads)
        log.info("expression model %s %s on %s", found.info.name, found.info.version, found.info.provider)
    if not found.spatial:
        raise ModelContract(f"expression model {found.info.path} names no expression: docs/au-model.md says what it needs")
    return found


def load_recogniser(config: Config) -> MicroModel | None:
    """The recogniser of micro-expressions, if one was given."""
    if config.expression.micro_model is None:
        return None
    from streamfer.expression.micro import MicroModel

    return MicroModel.load(config.expression.micro_model)


def analyze_all(
    paths: Sequence[Path],
    config: Config,
    *,
    what: What = "new",
    same_people: bool = False,
    progress: Progress | None = None,
    command: str = "",
) -> list[Outcome]:
    """Analyse every path into `config.output.folder`/<name>/; the outcomes are in the order of the paths."""
    from streamfer.faces.people import Gallery

    gallery = Gallery() if same_people else None
    outcomes: list[Outcome] = []
    with stop_on_signals() as stop, Analyst(config) as analyst:
        for path, folder in _folders(paths, config):
            outcomes.append(
                analyst.analyze(
                    path, folder, config, what=what, stop=stop, gallery=gallery, progress=progress, command=command
                )
            )
            # a full disk will not get better with the next source
            if stop.is_set() or isinstance(outcomes[-1].error, OutputError):
                break
    return outcomes


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """130 when interrupted, else the first code that is not 0."""
    codes = [outcome.exit_code for outcome in outcomes]
    return EXIT_INTERRUPTED if EXIT_INTERRUPTED in codes else next((code for code in codes if code), EXIT_DONE)


def _folders(paths: Sequence[Path], config: Config) -> Iterator[tuple[Path, Path]]:
    """An output folder for each source, named like it; sources of one name get the name of their folder too."""
    root = Path(config.output.folder)
    if config.output.name is not None:
        if len(paths) > 1:
            raise UsageError(f"output.name gives one folder to {len(paths)} sources: analyse them one by one")
        yield paths[0], root / config.output.name
        return
    names = [path.name if path.is_dir() else path.stem for path in paths]
    for path, name in zip(paths, names, strict=True):
        if names.count(name) > 1:
            name = f"{path.resolve().parent.name}_{name}"
        yield path, root / name


@contextlib.contextmanager
def one_thread_each() -> Iterator[None]:
    """The stages have threads of their own; the pools of OpenCV and of NumPy's BLAS would only take turns with them on
    the same cores. OpenBLAS's idle threads spin: they alone took a third of the processor's time (benchmarks/LOG.md)."""
    import cv2
    import numpy  # noqa: F401  the limit holds for the libraries that are loaded
    from threadpoolctl import threadpool_limits

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        cv2.setNumThreads(before)


@contextlib.contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set; a second signal has its usual effect. Only in the main thread."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def ask_to_stop(number: int, _: object) -> None:
        log.warning("stopping after this frame (%s); once more to stop at once", signal.Signals(number).name)
        stop.set()
        restore()

    for number in previous:
        signal.signal(number, ask_to_stop)
    try:
        yield stop
    finally:
        restore()
