"""Bounds on tokens close no way that a true text takes: texts of the composer pass through them token by token."""

from __future__ import annotations

import random

import numpy as np
import pytest

from streamfer.expllm.backends.composer import compose
from streamfer.expllm.backends.nano import BUNDLED
from streamfer.expllm.bounds import Bounds
from streamfer.expllm.encoding import LABEL, SEP, Codec
from streamfer.expllm.engine import Sample
from streamfer.expllm.looks import image_tokens
from streamfer.expllm.phrases import PHRASES
from tests.expllm_events import evidence

tokenizers = pytest.importorskip("tokenizers")


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec(tokenizers.Tokenizer.from_file(str(BUNDLED / "tokenizer.json")), image_tokens("mpp"))


def closed(codec: Codec, sample: Sample) -> list[str]:
    """Tokens of the sample's text that the bounds forbid where they stand."""
    encoding = codec.encode(sample, "reasoning")
    bounds, found = Bounds(codec, [sample.evidence], True), []
    for token in encoding.ids[encoding.answer :]:
        if not np.isfinite(bounds.mask(False, codec.eos)[0, token]):
            found.append(codec.tokenizer.id_to_token(token) or "?")
        if token == codec.ids[LABEL]:
            break
        bounds.take([token])
    return found


def sample_of(aus: str, kind: str, name: str, motion: str = "") -> Sample:
    e = evidence(aus, kind, id=name, motion=motion)
    cot = compose(e)
    return Sample(name, (), e, cot.label, cot, 1, (), "composer")


def test_every_token_of_200_true_texts_is_open(codec: Codec) -> None:
    rng = random.Random(7)
    found: dict[str, list[str]] = {}
    for n in range(200):
        numbers = rng.sample(sorted(PHRASES), rng.randint(1, 5))
        aus = " ".join(f"{rng.choice(['', '', 'L', 'R'])}{number}:{rng.uniform(0.6, 4.6):.1f}" for number in numbers)
        motion = rng.choice(["", "brow_inner_L:0.12:-90", "mouth_corner_R:0.20:45 chin:0.05:-90", "lip_lower:0.10:-80"])
        sample = sample_of(aus, rng.choice(["micro", "macro"]), f"t{n}", motion)
        if tokens := closed(codec, sample):
            found[f"{aus} | {sample.cot.observations}"] = tokens
    assert found == {}


@pytest.mark.parametrize("aus", ["12", "L14:2.0", "4:3.2"], ids=["a smile", "a dimple", "a frown"])
def test_what_was_observed_may_be_interpreted(codec: Codec, aus: str) -> None:
    """The plan of an action is open at the beginning of the second section although it was told in the first."""
    sample = sample_of(aus, "macro", "again")
    encoding = codec.encode(sample, "reasoning")
    answer = encoding.ids[encoding.answer :]
    bounds = Bounds(codec, [sample.evidence], True)
    for token in answer[: answer.index(codec.ids[SEP]) + 1]:
        bounds.take([token])
    plan = codec.ids[f"<AU{sample.evidence.aus[0].number}>"]
    assert np.isfinite(bounds.mask(False, codec.eos)[0, plan])
