"""ExpLLM without torch: onnxruntime runs its language model (graph.py), numpy its projector (project.py).

    decoder, vocabulary, facts = load(folder, threads=1)
    state = decoder.begin(prompts, looks, room)     # the prompts of a batch
    state.logits; state.step(tokens)                # (N, vocabulary); one more token of each text

The same weights and the same sums as model.py, which stays the definition and what is trained; a test holds one to the
other. It exists because importing torch and transformers takes longer than explaining a key moment, and because nobody
should have to install them for that. The key-value cache is allocated once for a batch and written in place.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from streamfer.errors import ExtraMissing, ModelContract, ModelMissing
from streamfer.expllm.graph import GRAPH, WEIGHTS, weights_digest
from streamfer.expllm.looks import ArrayLooks, Channels
from streamfer.expllm.project import Weights, project
from streamfer.expllm.vocabulary import Vocabulary


class Decoder:
    """Projector, embedding and language model. Not thread-safe."""

    def __init__(self, weights: Weights, session: Any, size: dict[str, Any], image_id: int) -> None:
        self.session = session
        self.layers, self.heads, self.width = (int(size[name]) for name in ("layers", "heads", "width"))
        self.positions, self.projector_kind = int(size["positions"]), str(size["projector"])
        self.answer = int(size.get("answer", 320))  # files from before it was said
        self.channels = Channels(int(size["features"]), int(size["early"]), int(size["embedding"]))
        self._weights, self._image_id = weights, image_id
        self._words = weights["lm.model.embed_tokens.weight"]

    def begin(self, prompts: list[list[int]], looks: ArrayLooks | None, room: int) -> State:
        """Reads the prompts; `room` positions are kept for prompt and answer."""
        lengths = np.array([len(prompt) for prompt in prompts], np.int32)
        ids = np.zeros((len(prompts), int(lengths.max())), int)  # padded on the right
        for row, prompt in zip(ids, prompts, strict=True):
            row[: len(prompt)] = prompt
        looks = looks if looks is not None else ArrayLooks.none(len(prompts), self.channels)
        there = looks.seen[:, None, None]
        image = project(self._weights, self.projector_kind, looks) * there + self._weights["nothing"] * (1 - there)
        embedded = self._words[ids]
        embedded[ids == self._image_id] = image.reshape(-1, self.width)
        return State(self, embedded, lengths, room)

    def embed(self, tokens: list[int]) -> np.ndarray:
        """(N,) -> (N, 1, width)"""
        return self._words[np.asarray(tokens)][:, None]


class State:
    """Texts on their way: the cache, how long each is, and `logits` (N, vocabulary) float32 of what comes next."""

    def __init__(self, decoder: Decoder, embedded: np.ndarray, lengths: np.ndarray, room: int) -> None:
        self._decoder, self._lengths = decoder, lengths
        self._binding = decoder.session.io_binding()
        self._room = min(room, decoder.positions)
        shape = (len(embedded), decoder.heads, self._room, decoder.width // decoder.heads)
        self._keep([np.zeros(shape, np.float32) for _ in range(2 * decoder.layers)])
        self.logits = self._run(embedded, lengths - 1)

    def _keep(self, cache: list[np.ndarray]) -> None:
        """Keys and values of each layer, read and written in place. The binding holds addresses only."""
        from onnxruntime import OrtValue

        self._binding.clear_binding_inputs()
        self._binding.clear_binding_outputs()
        self._cache = [OrtValue.ortvalue_from_numpy(one) for one in cache]
        names = [f"{what}_{n}" for n in range(self._decoder.layers) for what in ("key", "value")]
        for name, value in zip(names, self._cache, strict=True):
            self._binding.bind_ortvalue_input(f"past_{name}", value)
            self._binding.bind_ortvalue_output(name, value)

    def repeat(self, copies: int) -> None:
        self._keep([np.repeat(value.numpy(), copies, axis=0) for value in self._cache])
        self._lengths, self.logits = np.repeat(self._lengths, copies), np.repeat(self.logits, copies, axis=0)

    def step(self, tokens: list[int]) -> np.ndarray:
        self._lengths = np.minimum(self._lengths + 1, self._room)  # texts that have ended are written on until all have
        self.logits = self._run(self._decoder.embed(tokens), np.zeros_like(self._lengths))
        return self.logits

    def back(self, tokens: Mapping[int, int]) -> None:
        """What comes next is written over what is taken back."""
        for n, count in tokens.items():
            self._lengths[n] -= count

    def _run(self, embedded: np.ndarray, last: np.ndarray) -> np.ndarray:
        inputs = {
            "embedded": np.ascontiguousarray(embedded), "lengths": (self._lengths - 1).astype(np.int32),
            "total": np.array(self._lengths.max(), np.int32), "last": last.astype(np.int64),
        }  # fmt: skip
        for name, value in inputs.items():
            self._binding.bind_cpu_input(name, value)
        self._binding.bind_output("logits")  # its shape is new with the first step
        self._decoder.session.run_with_iobinding(self._binding)
        return self._binding.get_outputs()[len(self._cache)].numpy()  # bound after the caches


def load(folder: Path, threads: int) -> tuple[Decoder, Vocabulary, dict[str, Any]]:
    """The model, its tokens and its facts. Raises ExtraMissing, ModelMissing or ModelContract, which say what to do."""
    try:
        import onnxruntime
    except ImportError:
        raise ExtraMissing.of("onnxruntime", "cpu", "explaining with ExpLLM") from None
    from safetensors import SafetensorError, safe_open

    for name in ("config.json", WEIGHTS, "tokenizer.json"):
        if not (folder / name).is_file():
            raise ModelMissing(f"{folder} is no ExpLLM: {name} is not in it; `streamfer train expllm` makes one")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        facts = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        size = facts.pop("size")
        vocabulary = Vocabulary.load(folder / "tokenizer.json")
        session = onnxruntime.InferenceSession(str(folder / GRAPH), options, providers=["CPUExecutionProvider"])
        if session.get_modelmeta().custom_metadata_map.get("weights") != weights_digest(folder / WEIGHTS):
            raise ValueError(f"{GRAPH} was written for other weights")
        with safe_open(folder / WEIGHTS, framework="np") as file:
            names = [name for name in file.keys() if ".layers." not in name]  # noqa: SIM118 - not a mapping
            weights = {name: file.get_tensor(name).astype(np.float32) for name in names}
        image_id = vocabulary.token_to_id("<img>")
        return Decoder(weights, session, size, -1 if image_id is None else image_id), vocabulary, facts
    except (ValueError, TypeError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelContract(f"{folder} cannot be read as an ExpLLM: {' '.join(str(error).split())[:300]}") from None
    except Exception as error:  # onnxruntime's own have no common root
        if type(error).__module__.startswith("onnxruntime"):
            raise ModelContract(f"{folder} cannot be run: {' '.join(str(error).split())[:300]}") from None
        raise


__all__ = ["Decoder", "State", "load"]
