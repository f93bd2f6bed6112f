"""MediaPipe comes without matplotlib, and plotting still works for whoever wants it."""

import subprocess
import sys


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_finding_landmarks_does_not_import_matplotlib() -> None:
    code = """
import sys
from streamfer.config import Faces
from streamfer.faces.landmarks import open_landmarks
from streamfer.records import Frame
import numpy as np
finder = open_landmarks(Faces())
finder.find(Frame(0, 0.0, np.zeros((90, 160, 3), np.uint8)))
finder.close()
print("mediapipe" in sys.modules, "matplotlib" in sys.modules, "scipy.signal" in sys.modules)
"""
    assert python(code) == "True False False"


def test_mediapipes_helpers_plot_when_asked() -> None:
    code = """
import importlib
from streamfer.faces.mediapipe_import import import_mediapipe
import_mediapipe()
helpers = importlib.import_module("mediapipe.python.solutions.drawing_utils")
import matplotlib
matplotlib.use("agg")
print(helpers.plt.figure().__class__.__name__)
"""
    assert python(code) == "Figure"


def test_no_sound_library_is_looked_for() -> None:
    code = """
import sys
from streamfer.faces.mediapipe_import import import_mediapipe
import_mediapipe()
from mediapipe.tasks.python.audio.core import audio_record
print("sounddevice" in sys.modules, audio_record.sd.__name__)
"""
    assert python(code) == "False sounddevice"
