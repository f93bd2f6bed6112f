"""Import MediaPipe without what it drags in: its drawing helpers import matplotlib.pyplot, two thirds of its start-up.

MediaPipe never plots for us. While it is imported, a stand-in takes the place of `matplotlib.pyplot` that imports the
real one when something of it is asked for, so a program that plots with MediaPipe's helpers in the same process still can.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any


class _Pyplot(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import system looks at a module; nobody plots with these
            raise AttributeError(name)
        return getattr(importlib.import_module("matplotlib.pyplot"), name)


def import_mediapipe() -> Any:
    """The package `mediapipe`."""
    if "mediapipe" in sys.modules or "matplotlib" in sys.modules:
        return importlib.import_module("mediapipe")
    parent: Any = types.ModuleType("matplotlib")
    parent.pyplot = _Pyplot("matplotlib.pyplot")
    sys.modules["matplotlib"], sys.modules["matplotlib.pyplot"] = parent, parent.pyplot
    try:
        return importlib.import_module("mediapipe")
    finally:
        del sys.modules["matplotlib"], sys.modules["matplotlib.pyplot"]
