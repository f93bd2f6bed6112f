"""BLEU and ROUGE-1 of short answers, in the two variants that are in use for ME-VQA.

The challenge names BLEU and ROUGE-1 and no variant. Its participants' published code disagrees, so both are given:

* `corpus` (null-xy/MEGC2026): BLEU-4 over the whole corpus, without smoothing (Papineni et al. 2002); ROUGE-1 is the mean
  F1. Words are runs of letters and digits in lower case.
* `sentence` (Humphrey-0125/MEGC2025): the mean of each answer's BLEU-4 with 0.1 instead of a zero count (NLTK's method 1;
  Chen & Cherry 2014), words split at spaces, lower case; ROUGE-1 is the mean recall. NLTK 3.9's rules: orders longer
  than the answer count 0.1 / 1, an answer without any word of the reference is 0. The original takes
  ROUGE over Porter stems; here words are compared as they are, so that "raised" is not "raise".

An answer of one word has no four-grams: corpus BLEU copes, sentence BLEU gives a right one-word answer
0.1 ** 0.75 = 0.18. This is how the published numbers were made, and why BLEU says little here.

Tested against sacrebleu and NLTK; neither is a dependency, these are a few lines.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from streamfer.evaluation import bootstrap

_ORDERS = 4
_WORD = re.compile(r"[a-z0-9]+(?:'[a-z0-9]+)?")


def words(text: str) -> list[str]:
    """Runs of letters and digits, lower case."""
    return _WORD.findall(text.casefold())


def bleu_sums(answer: Sequence[str], reference: Sequence[str]) -> np.ndarray:
    """(10,): matches of orders 1-4, possible ones of orders 1-4, length of the answer, length of the reference."""
    matches, possible = [], []
    for order in range(1, _ORDERS + 1):
        mine, theirs = _ngrams(answer, order), _ngrams(reference, order)
        matches.append(sum((mine & theirs).values()))
        possible.append(max(len(answer) - order + 1, 0))
    return np.array([*matches, *possible, len(answer), len(reference)], np.float64)


def corpus_bleu(sums: np.ndarray) -> np.ndarray:
    """(...) 0-1 from the sums (..., 10) over a corpus; 0 when an order has no match."""
    precision = np.nan_to_num(bootstrap.ratio(sums[..., :_ORDERS], sums[..., _ORDERS : 2 * _ORDERS]))
    with np.errstate(divide="ignore"):
        mean = np.exp(np.log(precision).mean(axis=-1))
    return mean * _brevity(sums[..., -2], sums[..., -1])


def sentence_bleu(answer: Sequence[str], reference: Sequence[str], epsilon: float = 0.1) -> float:
    """BLEU-4 of one answer with `epsilon` in place of zero counts."""
    sums = bleu_sums(answer, reference)
    matches, possible = sums[:_ORDERS], np.maximum(sums[_ORDERS : 2 * _ORDERS], 1)
    if matches[0] == 0:
        return 0.0
    precision = np.where(matches > 0, matches, epsilon) / possible
    return float(np.exp(np.log(precision).mean()) * _brevity(sums[-2], sums[-1]))


def rouge1(answer: Sequence[str], reference: Sequence[str]) -> tuple[float, float, float]:
    """Precision, recall and F1 of single words (Lin 2004). Two empty texts agree."""
    if not answer and not reference:
        return 1.0, 1.0, 1.0
    shared = sum((Counter(answer) & Counter(reference)).values())
    if not shared:
        return 0.0, 0.0, 0.0
    precision, recall = shared / len(answer), shared / len(reference)
    return precision, recall, 2 * precision * recall / (precision + recall)


def _ngrams(tokens: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[i : i + order]) for i in range(len(tokens) - order + 1))


def _brevity(length: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """1 for an answer as long as its reference or longer, else exp(1 - reference / length); 0 for nothing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        penalty = np.exp(np.minimum(0.0, 1 - np.asarray(reference, float) / np.asarray(length, float)))
    return np.where(np.asarray(length) > 0, penalty, 0.0)
