"""Import MediaPipe without what it drags in: matplotlib.pyplot for its drawing helpers, sounddevice for its audio part.

MediaPipe never plots or records for us, and the two are most of its start-up (the second asks a compiler where the sound
library is). While it is imported, stand-ins take their places that import the real ones when something of them is asked for,
so a program that plots or records with MediaPipe's helpers in the same process still can.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any


class _StandIn(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import system looks at a module; nobody plots with these
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


def import_mediapipe() -> Any:
    """The package `mediapipe`."""
    if "mediapipe" in sys.modules:
        return importlib.import_module("mediapipe")
    parent: Any = types.ModuleType("matplotlib")
    parent.pyplot = _StandIn("matplotlib.pyplot")
    plots = {} if "matplotlib" in sys.modules else {"matplotlib": parent, "matplotlib.pyplot": parent.pyplot}
    sounds = {} if "sounddevice" in sys.modules else {"sounddevice": _StandIn("sounddevice")}
    sys.modules.update(plots | sounds)
    try:
        return importlib.import_module("mediapipe")
    finally:
        for name in plots | sounds:
            del sys.modules[name]
