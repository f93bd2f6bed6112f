"""ExpLLM itself: the bundled small model, or any folder that `streamfer train expllm` wrote.

It looks at the key frames (the perception network is its eye), reads the evidence table, writes the chain of thought and
then the label. Each text is drafted a few times at once (drafting.py); attempts.py holds the best to the evidence and asks
again for what it refuses.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from streamfer.action_units.model import AUModel
from streamfer.errors import ExtraMissing, ModelMissing
from streamfer.expllm.attempts import Ask, Draft, explain
from streamfer.expllm.bounds import prepare
from streamfer.expllm.drafting import best, draw
from streamfer.expllm.encoding import Codec
from streamfer.expllm.graph import GRAPH
from streamfer.expllm.look import Encoder, open_finder
from streamfer.expllm.looks import image_tokens
from streamfer.expllm.wording import Wording
from streamfer.records import Job, Result

if TYPE_CHECKING:
    import numpy as np

    from streamfer.config import Explain
    from streamfer.expllm.looks import ArrayLooks
    from streamfer.expllm.patches import Eye, Pictures
    from streamfer.expllm.vocabulary import Tokens
    from streamfer.faces.landmarks import LandmarkFinder

log = logging.getLogger(__name__)

BUNDLED = Path(__file__).parents[2] / "models" / "expllm-nano"
NVIDIA = Path("/dev/nvidiactl")
"""There where a GPU's driver is: asking torch takes seconds on machines that have none."""


class Nano:
    """A Backend. Not thread-safe.

    On a CPU onnxruntime runs the model (decoder.py), which starts in a fraction of the time that torch takes to import.
    torch is used on an accelerator, and for a folder without decoder.onnx.
    """

    name = "nano"
    order: Literal["cot_first", "label_first", "none"] = "cot_first"

    def __init__(self, settings: Explain) -> None:
        folder = Path(settings.model) if settings.model else BUNDLED
        with ThreadPoolExecutor(2) as beside:
            finder = beside.submit(open_finder)  # MediaPipe starts while the language model is read
            revision = beside.submit(_revision, folder)
            self._net, tokens, facts = self._load(folder, settings)
            self._codec = Codec(tokens, image_tokens(self._net.projector_kind), Wording.of(folder))
            prepare(self._codec)
            self._encoder = self._eye(folder, facts, finder)
        self._floor, self._attempts = settings.floor, settings.attempts
        self.model = str(facts.get("name", folder.name))
        self.revision = revision.result()
        log.info("ExpLLM %s %s by %s, eye %s", self.model, self.revision, self.runtime, self._encoder.source)

    def _eye(self, folder: Path, facts: dict[str, object], finder: Future[LandmarkFinder]) -> Encoder | Eye:
        if self._net.projector_kind != "patches":
            model = AUModel.load(eye_of(folder, facts), device="cpu", threads=1)
            return Encoder(model, self._net.channels, finder.result())
        from streamfer.expllm.patches import Eye

        finder.result().close()
        return Eye(str(facts["name"]))

    def _load(self, folder: Path, settings: Explain) -> tuple[Any, Tokens, dict[str, Any]]:
        wanted = settings.device
        accelerator = NVIDIA.exists() and importlib.util.find_spec("torch") is not None
        if (folder / GRAPH).is_file() and (wanted == "cpu" or (wanted == "auto" and not accelerator)):
            from streamfer.expllm.decoder import load as load_decoder

            self.runtime = "onnxruntime on cpu"
            return load_decoder(folder, settings.threads)
        try:
            import torch

            from streamfer.expllm.model import load
        except ImportError as error:
            raise ExtraMissing.of(error.name or "torch", "expllm", "explaining with ExpLLM") from None
        device = "cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu"
        if wanted == "cuda" and device == "cpu":
            raise ModelMissing("explain.device is cuda, but this torch finds no CUDA: set it to auto or cpu")
        # threads of one operator wait for each other at every layer: beside a busy pipeline two are ten times slower than one
        torch.set_num_threads(settings.threads)
        self.runtime = f"torch on {device}"
        base = Path(settings.base) if settings.base else None
        return load(folder, device, _dtype(torch, folder, device, settings.dtype), base)

    def explain(self, jobs: list[Job], images: list[dict[str, np.ndarray]]) -> list[Result]:
        self._tries: dict[str, int] = {}
        self._looks: dict[str, ArrayLooks | Pictures] = {}
        return explain(
            self, jobs, images, floor=self._floor, attempts=self._attempts, backend=self.name, model=self.model,
            revision=self.revision, order=self.order,
        )  # fmt: skip

    def write(self, asks: list[Ask]) -> list[Draft]:
        """One draft for each ask; those of one attempt are written side by side."""
        turn = max(self._tries.get(ask.job.id, 0) for ask in asks)
        looks = self._see(asks)
        evidence = [ask.evidence for ask in asks]
        drafts = []
        written = draw(self._net, self._codec, evidence, looks, [ask.job.id for ask in asks], turn)
        for ask, drawn in zip(asks, written, strict=True):
            self._tries[ask.job.id] = turn + 1
            kept = best(drawn)
            faults = kept.faults if kept.cot is not None else ()  # of an unreadable text the reader says what is wrong
            drafts.append(Draft(kept.text, sum(one.tokens for one in drawn), kept.label_probabilities, faults=faults))
        return drafts

    def _see(self, asks: list[Ask]) -> Any:
        """What the eye saw of each; pictures of a job that is asked again are not looked at again."""
        new = [ask for ask in asks if ask.job.id not in self._looks]
        if new:
            seen = self._encoder.see([ask.images for ask in new])
            self._looks |= {ask.job.id: seen.take([n]) for n, ask in enumerate(new)}
        known: list[Any] = [self._looks[ask.job.id] for ask in asks]
        return type(known[0]).joined(known)


def _revision(folder: Path) -> str:
    weights = folder / "model.safetensors"  # where it is missing, `_load` says so
    return hashlib.sha256(weights.read_bytes()).hexdigest()[:12] if weights.is_file() else ""


def _dtype(torch: Any, folder: Path, device: str, wanted: str) -> Any:
    """Of the weights: single precision for the small model, else what the option says or the device is best at."""
    from streamfer.expllm.backends.transformers import _dtype as best_dtype
    from streamfer.expllm.model import is_adapter

    return best_dtype(torch, device, wanted)[0] if is_adapter(folder) else torch.float32


def eye_of(folder: Path, facts: dict[str, object]) -> str | Path:
    """The encoder that the model was trained with: `encoder` of its config.json, a file in its folder or a bundled name."""
    name = str(facts.get("encoder") or "perception")
    return folder / name if (folder / name).is_file() else name


__all__ = ["BUNDLED", "Nano", "eye_of"]
