"""Small words that both halves of the composer use: lists, sentences, a part of a text with its rank. No facts here."""

from __future__ import annotations

from collections.abc import Sequence

from streamfer.expllm.evidence import AUEvidence

Part = tuple[int, str]
"""(rank, sentences): parts of rank 0 stay, of the others the highest rank goes first when a text is too long."""


def codes(aus: Sequence[AUEvidence]) -> str:
    """'AU1, AU2 and AU4'."""
    return join([au.code for au in aus], "and")


def join(words: Sequence[str], last: str) -> str:
    """'a, b and c', with `last` before the last."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def only_side(au: AUEvidence, form: str = ", {} only") -> str:
    """The side, when it stayed on one."""
    return form.format(au.side) if au.unilateral else ""


def sentence(text: str) -> str:
    """Capital first, full stop last."""
    return f"{text[0].upper()}{text[1:]}."
