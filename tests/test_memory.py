"""The peak of a program is its own, and what it freed goes back to the system."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")

CHILD_OF_A_LARGE_PROCESS = """
import subprocess, sys
large = b"1" * (300 << 20)
print(subprocess.run([sys.executable, "-c", "from streamfer.memory import peak_mb; print(peak_mb())"],
                     capture_output=True, text=True, check=True).stdout)
from streamfer.memory import peak_mb
print(peak_mb())
"""
FREED = """
from pathlib import Path
from streamfer.memory import give_back
def resident_mb():
    return next(int(line.split()[1]) >> 10 for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
held = [b"1" * 100_000 for _ in range(1000)]
last = held.pop()  # above them in the heap, so that nothing is given back by itself
del held
before = resident_mb()
give_back()
print(before, resident_mb(), len(last))
"""


def told(program: str) -> list[int]:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [int(word) for word in done.stdout.split()]


def test_a_program_is_not_charged_for_the_one_that_started_it() -> None:
    child_mb, own_mb = told(CHILD_OF_A_LARGE_PROCESS)
    assert child_mb < 100 < 300 <= own_mb


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries give memory back in their own ways")
def test_freed_memory_goes_back() -> None:
    before_mb, after_mb, _ = told(FREED)
    assert before_mb - after_mb > 70
