"""Explanations by an image-text-to-text model in this process: any that transformers can load from a local folder.

The model's own chat template and processor make the prompt, a whole batch is generated at once with padding on the left
(so that every row ends where its answer begins), a LoRA adapter is merged into the weights before. Nothing is ever
downloaded and no code from the folder is run; weights are read from safetensors only.

`explain.dtype: auto` takes bfloat16 on a GPU that computes in it (compute capability 8 or more), float16 on an older one,
float32 on a CPU, where the short formats are rarely faster and not every operation has them; the log says which and why.
When memory runs out the batch is halved, now and for the rest of the run; a single job that does not fit ends with that
reason. The text is plain: constrained decoding is the business of a server (backends/openai.py).
"""

from __future__ import annotations

import gc
import hashlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamfer.errors import ExtraMissing, ModelError, ModelMissing, ProviderUnavailable, UsageError
from streamfer.expllm import attempts, prompt
from streamfer.expllm.answer import as_text
from streamfer.expllm.attempts import Ask, Draft
from streamfer.records import Job, Result

if TYPE_CHECKING:
    import numpy as np

    from streamfer.config import Explain

log = logging.getLogger(__name__)

_ENDS_BYTES = 1 << 20


class Transformers:
    """A Backend (see backends/__init__.py) and its Writer in one."""

    name = "transformers"
    order: attempts.Order = "cot_first"

    def __init__(self, settings: Explain) -> None:
        """Load the model. Raises UsageError, ModelMissing, ExtraMissing, ProviderUnavailable or ModelError."""
        folder = _folder(settings.model, "explain.model", "config.json")
        adapter = _folder(settings.adapter, "explain.adapter", "adapter_config.json") if settings.adapter else None
        torch, transformers = _packages()
        self._settings, self._torch = settings, torch
        self._device = _device(torch, settings.device)
        dtype, why = _dtype(torch, self._device, settings.dtype)
        try:
            self._processor = transformers.AutoProcessor.from_pretrained(folder, local_files_only=True)
            model = transformers.AutoModelForImageTextToText.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=dtype
            )
            if adapter is not None:
                model = _merged(model, adapter)
            self._model = model.to(self._device).eval()
        except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
            raise ModelError(f"{folder}: not an image-text-to-text model that can be loaded ({_line(error)})") from None
        self._tokenizer: Any = getattr(self._processor, "tokenizer", None)
        if self._tokenizer is None or not getattr(self._processor, "chat_template", None):
            raise ModelError(f"{folder}: its processor has no tokenizer or no chat template; take an instruction-tuned model")
        self._tokenizer.padding_side = "left"
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self._system_turn = self._takes_system_turn(folder)
        self._limit = settings.batch
        self.model = folder.name
        self.revision = _revision(folder, adapter)
        log.info("model %s, revision %s: %s on %s, %s", self.model, self.revision, str(dtype).removeprefix("torch."),
                 self._device, why)  # fmt: skip

    def explain(self, jobs: list[Job], images: list[dict[str, np.ndarray]]) -> list[Result]:
        return attempts.explain(
            self, jobs, images, floor=self._settings.floor, attempts=self._settings.attempts, backend=self.name,
            model=self.model, revision=self.revision, order=self.order,
        )  # fmt: skip

    def write(self, asks: list[Ask]) -> list[Draft]:
        """One draft for each ask. Raises ModelError when the device itself has failed."""
        drafts: list[Draft] = []
        while len(drafts) < len(asks):
            part = asks[len(drafts) : len(drafts) + self._limit]
            found, error = self._attempt(part)
            if found:
                drafts += found
                continue
            assert error is not None
            if _memory_ran_out(self._torch, error):
                self._free()
                if len(part) == 1:
                    drafts.append(Draft("", 0, error="not enough memory for a single job: take a smaller model, "
                                                     "fewer explain.pictures or a lower explain.max_tokens"))  # fmt: skip
                    continue
                self._limit = max(len(part) // 2, 1)
                log.warning("out of memory with a batch of %d on %s: going on with %d", len(part), self._device, self._limit)
            elif "CUDA error" in str(error):  # the context is lost: nothing will work in this process any more
                raise ModelError(f"the GPU failed while generating ({_line(error)}): start the worker again")
            elif len(part) == 1:
                drafts.append(Draft("", 0, error=f"the model failed on this job ({_line(error)})"))
            else:  # one job must not take the others with it
                for ask in part:
                    drafts += self._single(ask)
        return drafts

    def _single(self, ask: Ask) -> list[Draft]:
        limit, self._limit = self._limit, 1
        try:
            return self.write([ask])
        finally:
            self._limit = limit

    def _attempt(self, asks: list[Ask]) -> tuple[list[Draft], Exception | None]:
        """Drafts, or the error without its frames, which would keep the batch's tensors alive."""
        try:
            return self._generate(asks), None
        except Exception as error:  # the model's own code: anything may come out of it; the caller sorts
            return [], error.with_traceback(None)

    def _generate(self, asks: list[Ask]) -> list[Draft]:
        from PIL import Image

        texts, pictures = [], []
        for ask in asks:
            roles = [role for role in self._settings.pictures if role in ask.images]
            texts.append(self._render(prompt.messages(ask, [(role, {"type": "image"}) for role in roles], "text")))
            pictures.append([Image.fromarray(ask.images[role]) for role in roles])
        begins = self._tokenizer.bos_token is not None and texts[0].startswith(self._tokenizer.bos_token)
        inputs = self._processor(
            text=texts, images=pictures if any(pictures) else None, padding=True, return_tensors="pt",
            add_special_tokens=not begins,  # most templates write the first token themselves
        ).to(self._device)  # fmt: skip
        for key, value in inputs.items():
            if value.is_floating_point():
                inputs[key] = value.to(self._model.dtype)
        warm = self._settings.temperature
        chance = {"do_sample": True, "temperature": warm} if warm else {"do_sample": False}
        with self._torch.inference_mode():
            tokens = self._model.generate(
                **inputs, max_new_tokens=self._settings.max_tokens, pad_token_id=self._tokenizer.pad_token_id, **chance
            )
        rows = tokens[:, inputs["input_ids"].shape[1] :].tolist()
        return [
            Draft(as_text(self._tokenizer.decode(row, skip_special_tokens=True)), _count(row, self._tokenizer.pad_token_id))
            for row in rows
        ]

    def _render(self, turns: list[dict[str, Any]]) -> str:
        if not self._system_turn:
            turns = [{"role": "user", "content": [*turns[0]["content"], *turns[1]["content"]]}]
        return str(self._processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))

    def _takes_system_turn(self, folder: Path) -> bool:
        """Some templates refuse a system turn, and some leave it away without a word."""
        from jinja2 import TemplateError

        said = "The rules are given here."
        turns = [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in (("system", said), ("user", "?"))]
        try:
            return said in self._processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        except (TemplateError, ValueError, TypeError):
            pass
        try:
            self._processor.apply_chat_template(turns[1:], tokenize=False, add_generation_prompt=True)
        except (TemplateError, ValueError, TypeError) as error:
            raise ModelError(f"{folder}: its chat template takes no question of text parts ({_line(error)})") from None
        return False

    def _free(self) -> None:
        gc.collect()
        if self._device == "cuda":
            self._torch.cuda.empty_cache()


def _folder(path: str | None, option: str, needs: str) -> Path:
    if path is None:
        raise UsageError(f"the backend transformers needs {option}, the folder of a model; nothing is downloaded")
    folder = Path(path).expanduser()
    if not (folder / needs).is_file():
        raise ModelMissing(f"{option}: {folder} has no {needs}; give a local folder, nothing is downloaded")
    return folder.resolve()


def _packages() -> tuple[Any, Any]:
    try:
        import torch
        import transformers
    except ImportError as error:
        raise ExtraMissing.of(error.name or "transformers", "expllm", "the backend transformers") from None
    return torch, transformers


def _device(torch: Any, wanted: str) -> str:
    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise ProviderUnavailable("explain.device is cuda, but this torch sees no GPU: install a CUDA build of torch, or "
                                  "take explain.device=cpu")  # fmt: skip
    return "cuda" if there and wanted != "cpu" else "cpu"


def _dtype(torch: Any, device: str, wanted: str) -> tuple[Any, str]:
    """The number format and the reason for it, in words for the log."""
    if wanted != "auto":
        return getattr(torch, wanted), "as explain.dtype says"
    if device == "cpu":
        return torch.float32, "since shorter formats are rarely faster on a CPU"
    major, minor = torch.cuda.get_device_capability()
    if major >= 8:
        return torch.bfloat16, f"since this GPU (compute capability {major}.{minor}) computes in it"
    return torch.float16, f"since this GPU (compute capability {major}.{minor}) has no fast bfloat16"


def _merged(model: Any, adapter: Path) -> Any:
    """The model with a LoRA adapter's changes added to its weights."""
    try:
        from peft import PeftModel
    except ImportError:
        raise ExtraMissing.of("peft", "expllm", "explain.adapter") from None
    if not (adapter / "adapter_model.safetensors").is_file():
        raise ModelMissing(f"explain.adapter: {adapter} has no adapter_model.safetensors; other formats may hold code")
    return PeftModel.from_pretrained(model, str(adapter), local_files_only=True).merge_and_unload()


def _revision(*folders: Path | None) -> str:
    """16 hex digits over config, size and both ends of each weight file: told in a moment, also for many gigabytes."""
    digest = hashlib.sha256()
    for folder in folders:
        if folder is None:
            continue
        for path in sorted([*folder.glob("*config.json"), *folder.glob("*.safetensors")]):
            size = path.stat().st_size
            digest.update(f"{path.name} {size}\n".encode())
            with path.open("rb") as file:
                digest.update(file.read(_ENDS_BYTES))
                file.seek(max(size - _ENDS_BYTES, 0))
                digest.update(file.read(_ENDS_BYTES))
    return digest.hexdigest()[:16]


def _memory_ran_out(torch: Any, error: Exception) -> bool:
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "not enough memory" in str(error)  # torch's allocator of main memory
    )


def _count(row: list[int], pad: int | None) -> int:
    """Tokens of one row without the padding behind it."""
    while row and row[-1] == pad:
        row = row[:-1]
    return len(row)


def _line(error: Exception) -> str:
    """The first line of an error, which may be a page long."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
