"""How much memory this program took at most, and giving back what it needs no more."""

from __future__ import annotations

import ctypes
import gc
import resource
from pathlib import Path


def peak_mb() -> int:
    """The largest resident size so far. Linux keeps it for each program; what getrusage tells begins at the size of the
    process that started this one, which may be larger (setmax_mm_hiwater_rss at exec)."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:  # another system
        lines = []
    kilobytes = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    return round((kilobytes[0] if kilobytes else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 1024)


def give_back() -> None:
    """Return freed memory to the system, between two kinds of work: glibc keeps it for allocations of the same sort.

    After the analysis of two minutes of video this was 40 to 49 of 286 to 383 MB.
    """
    gc.collect()
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):  # another C library, which has its own ways
        return
    trim(0)
