"""What is done at the end of an analysis needs no more memory for hours than for minutes: fresh processes at two lengths.

The peak is VmHWM, which begins anew with a program; ru_maxrss would begin at the size of the process that started it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from streamfer.records import Event, Moment, to_dict
from tests.analyses import EVENTS, FPS, result, write_folder

END = """
import sys, threading
from pathlib import Path
from streamfer.config import Config
from streamfer.output import Output
from streamfer.progress import Progress
Output(Path(sys.argv[1])).explain_and_export(Config(), None, 0, Progress(), threading.Event())
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
BASE_S = 8.0

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the peak of a process is read from Linux's /proc"
)


def long_folder(root: Path, times: int, events: int) -> Path:
    """The folder of `analyses.write_folder` with its rows `times` over and with so many explained events."""
    folder = write_folder(root, BASE_S, "plain")
    header, *rows = (folder / "faces.csv").read_text().splitlines(keepends=True)
    cells = [row.split(",", 3) for row in rows]
    frames = round(BASE_S * FPS)
    with (folder / "faces.csv").open("w") as file:
        file.write(header)
        for i in range(times):
            file.writelines(
                f"{int(frame) + i * frames},{face},{float(time_s) + i * BASE_S:.6f},{rest}"
                for frame, face, time_s, rest in cells
            )
    every_s = times * BASE_S / events
    with (folder / "events.jsonl").open("w") as file:
        for i in range(events):
            event = shifted(i, i * every_s)
            explanation = to_dict(result(event, "Brow Lowerer (AU4) was seen. " * 20))
            file.write(json.dumps({**to_dict(event), "explanation": explanation}) + "\n")
    run = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**run, "timings_s": {}}))
    return folder


def shifted(i: int, by_s: float) -> Event:
    event = EVENTS[i % 3]

    def later(moment: Moment) -> Moment:
        return Moment(moment.frame + round(by_s * FPS), moment.time_s + by_s)

    onset, apex, offset = map(later, (event.onset, event.apex, event.offset))
    return replace(event, id=f"{event.id}-{i}", onset=onset, apex=apex, offset=offset)


def peak_kb(folder: Path) -> int:
    done = subprocess.run([sys.executable, "-c", END, str(folder)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (folder / "report.html").stat().st_size > 10_000
    return int(done.stdout)


@pytest.fixture(scope="module")
def short_kb(tmp_path_factory: pytest.TempPathFactory) -> int:
    """Two minutes with ten events."""
    return peak_kb(long_folder(tmp_path_factory.mktemp("short"), times=15, events=10))


def test_rows_are_not_held(tmp_path: Path, short_kb: int) -> None:
    """27 minutes: 70,300 rows more. One pair of numbers for each of them would be 7 MB."""
    grown = peak_kb(long_folder(tmp_path, times=200, events=10)) - short_kb
    assert grown < 5_000


def test_an_event_costs_little(tmp_path: Path, short_kb: int) -> None:
    """A parsed event with its words, its close-up and its annotations; no picture and no page of it."""
    grown = peak_kb(long_folder(tmp_path, times=15, events=610)) - short_kb
    assert grown / 600 < 30
