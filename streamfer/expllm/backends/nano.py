"""ExpLLM itself: the bundled small model, or any folder that `streamfer train expllm` wrote.

It looks at the key frames (the perception network is its eye), reads the evidence table, writes the chain of thought and
then the label. Each text is drafted a few times at once (drafting.py); attempts.py holds the best to the evidence and asks
again for what it refuses.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from streamfer.errors import ExtraMissing, ModelMissing
from streamfer.expllm.attempts import Ask, Draft, explain
from streamfer.expllm.graph import GRAPH
from streamfer.records import Job, Result

if TYPE_CHECKING:
    import numpy as np

    from streamfer.config import Explain
    from streamfer.expllm.look import Encoder
    from streamfer.expllm.patches import Eye
    from streamfer.expllm.vocabulary import Tokens

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
        self._net, tokens, facts = self._load(folder, settings)
        from streamfer.expllm.encoding import Codec
        from streamfer.expllm.look import Encoder
        from streamfer.expllm.looks import image_tokens
        from streamfer.expllm.wording import Wording

        self._codec = Codec(tokens, image_tokens(self._net.projector_kind), Wording.of(folder))
        self._encoder: Encoder | Eye
        if self._net.projector_kind == "patches":
            from streamfer.expllm.patches import Eye

            self._encoder = Eye(str(facts["name"]))
        else:
            self._encoder = Encoder.load(eye_of(folder, facts), self._net.channels)
        self._floor, self._attempts = settings.floor, settings.attempts
        self.model = str(facts.get("name", folder.name))
        self.revision = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()[:12]
        log.info("ExpLLM %s %s by %s, eye %s", self.model, self.revision, self.runtime, self._encoder.source)

    def _load(self, folder: Path, settings: Explain) -> tuple[Any, Tokens, dict[str, Any]]:
        wanted = settings.device
        accelerator = NVIDIA.exists() and importlib.util.find_spec("torch") is not None
        if (folder / GRAPH).is_file() and (wanted == "cpu" or (wanted == "auto" and not accelerator)):
            from streamfer.expllm.decoder import load as load_decoder
            from streamfer.faces.mediapipe_import import import_mediapipe

            self.runtime = "onnxruntime on cpu"
            # onnxruntime prepares its weights while Python imports the eye's finder
            with ThreadPoolExecutor(1) as beside:
                loading = beside.submit(load_decoder, folder, settings.threads)
                import_mediapipe()
                return loading.result()
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
        return explain(
            self, jobs, images, floor=self._floor, attempts=self._attempts, backend=self.name, model=self.model,
            revision=self.revision, order=self.order,
        )  # fmt: skip

    def write(self, asks: list[Ask]) -> list[Draft]:
        """One draft for each ask; those of one attempt share a temperature."""
        from streamfer.expllm.drafting import best, draw

        turn = max(self._tries.get(ask.job.id, 0) for ask in asks)
        looks = self._encoder.see([ask.images for ask in asks])
        evidence = [ask.evidence for ask in asks]
        drafts = []
        for ask, drawn in zip(
            asks, draw(self._net, self._codec, evidence, looks, [a.job.id for a in asks], turn), strict=True
        ):
            self._tries[ask.job.id] = turn + 1
            kept = best(drawn)
            faults = kept.faults if kept.cot is not None else ()  # of an unreadable text the reader says what is wrong
            drafts.append(Draft(kept.text, sum(one.tokens for one in drawn), kept.label_probabilities, faults=faults))
        return drafts


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
