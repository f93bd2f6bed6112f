"""What `streamfer evaluate expllm` explains: photographs with votes, or the events of analysed clips."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from streamfer.action_units.model import AUModel
from streamfer.expllm.backends.nano import BUNDLED, eye_of
from streamfer.expllm.encoding import Codec
from streamfer.expllm.engine import Case
from streamfer.expllm.model import ExpLLM, Looks, image_tokens, load
from streamfer.expllm.patches import Pictures
from streamfer.expllm.wording import Wording


def loaded(folder: Path | None, threads: int | None, base: Path | None = None) -> tuple[ExpLLM, Codec, AUModel, str]:
    """The model, its codec, the encoder it was trained with, and what it is called."""
    import torch

    if threads:
        torch.set_num_threads(threads)
    folder = folder or BUNDLED
    net, tokenizer, facts = load(folder, base=base)
    encoder = AUModel.load(eye_of(folder, facts), device="cpu", threads=1)
    codec = Codec(tokenizer, image_tokens(net.size.projector), Wording.of(folder))
    return net, codec, encoder, str(facts.get("name", folder.name))


def cases_of(
    sources: Sequence[Path], encoder: AUModel, cache: Path, limit: int | None, *, pictures: bool = False
) -> tuple[list[Case], Looks | Pictures | None]:
    """Cases of FER+ npz files and of folders of results, in their order; at most `limit`, drawn with a fixed seed."""
    from streamfer.training.expllm_build import event_cases, fer_cases

    cases: list[Case] = []
    parts: list[Any] = []
    for path in sources:
        more: list[Case]
        looks: Looks | Pictures | None
        if path.is_dir():
            more, looks = event_cases(path, encoder, pictures=pictures)
        else:
            more, looks = fer_cases((path,), encoder, cache, pictures=pictures)
        before = sum(len(part) for part in parts)
        cases += [replace(case, row=before + case.row) for case in more]
        parts += [looks] if looks is not None else []
    if limit is not None and limit < len(cases):
        cases = random.Random(0).sample(cases, limit)
    return cases, type(parts[0]).joined(parts) if parts else None
