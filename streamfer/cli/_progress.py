"""What a person sees while it runs, always on stderr: a live line on a terminal, else one log line per 10 s."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

from streamfer.progress import Progress
from streamfer.records import SourceInfo

log = logging.getLogger("streamfer.progress")

_SHOW_EVERY_S = 0.2
_LOG_EVERY_S = 10.0


def progress_for(show: bool) -> Progress:
    """The live line on a terminal, log lines otherwise, nothing when `show` is False."""
    if not show:
        return Progress()
    return TerminalProgress() if sys.stderr.isatty() else LogProgress()


class TerminalProgress(Progress):
    def __init__(self) -> None:
        super().__init__()
        self._next = 0.0
        self._live: Any = None  # a rich Progress; rich is imported when it is shown

    def start(self, info: SourceInfo) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self._live = Bar(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[counts]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=False,
        )
        self._task = self._live.add_task(info.name, total=info.duration_s, counts="")
        self._live.start()
        super().start(info)

    def changed(self) -> None:
        now = time.monotonic()
        if self._live is None or now < self._next:
            return
        self._next = now + _SHOW_EVERY_S
        self._show()

    def end(self, exit_code: int) -> None:
        if self._live is not None:
            if exit_code == 0 and self.info and self.info.duration_s:
                self.time_s = self.info.duration_s
            self._show()
            self._live.stop()
            self._live = None

    def _show(self) -> None:
        counts = (
            f"{self.frames} frames  {self.frames_per_s:.0f} fps  {self.faces / max(self.frames, 1):.1f} faces  "
            f"{self.events} events  {self.waiting} to explain"
        )
        assert self._live is not None
        self._live.update(self._task, completed=self.time_s, counts=counts)


class LogProgress(Progress):
    def __init__(self) -> None:
        super().__init__()
        self._next = time.monotonic() + _LOG_EVERY_S

    def changed(self) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _LOG_EVERY_S
        self._log("at")

    def end(self, exit_code: int) -> None:
        self._log("finished," if exit_code == 0 else f"ended with code {exit_code},")

    def _log(self, what: str) -> None:
        facts = {
            "source": self.info.name if self.info else "",
            "source_time_s": round(self.time_s, 3),
            "frames": self.frames,
            "fps": round(self.frames_per_s, 1),
            "faces": self.faces,
            "events": self.events,
            "to_explain": self.waiting,
        }
        log.info(
            "%s: %s %.1f s, %d frames, %.0f fps, %d faces, %d events, %d to explain",
            *(
                facts["source"],
                what,
                self.time_s,
                self.frames,
                self.frames_per_s,
                self.faces,
                self.events,
                self.waiting,
            ),
            extra={"facts": facts},
        )
