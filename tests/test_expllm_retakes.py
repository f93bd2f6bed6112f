"""A sentence that is wrong is written again: where a text goes back to, how often, and that nobody else notices."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from streamfer.expllm import bounds, retakes
from streamfer.expllm.generate import Written

WORD, STOP, SECTION = 5, 1, 2
"""Tokens of a made-up language: a word, the end of a sentence, the mark between two sections."""


class Reader:
    """Finds a fault in every sentence whose word is one of `wrong`."""

    def __init__(self, wrong: set[int], good: bool = True) -> None:
        self.wrong, self.fine = wrong, good

    def faults(self, n: int, ids) -> int:
        return sum(token in self.wrong for token in ids)

    def good(self, n: int, written: Written) -> bool:
        return self.fine


class Ends:
    """What `Retakes` asks of Bounds: sentences end with STOP."""

    def __init__(self) -> None:
        self.last: dict[int, int] = {}
        self.returns: list[tuple[int, object]] = []

    def ended(self, n: int) -> bool:
        return self.last.get(n) == STOP

    def place(self, n: int) -> bounds.Place:
        return bounds.Place(0, self.ended(n), None, Counter())

    def back(self, n: int, place: bounds.Place) -> None:
        self.returns.append((n, place))


class Play:
    """Texts that are handed over token by token."""

    def __init__(self, reader: Reader, count: int = 1, copies: int = 1) -> None:
        self.ends, self.answers = Ends(), [[] for _ in range(count)]
        self.going = [True] * count
        self.at = 0
        self.retakes = retakes.Retakes(reader, self.ends, self._logits(count), SECTION, copies)

    def _logits(self, count: int) -> np.ndarray:
        self.at += 1
        return np.full((count, 3), self.at, np.float32)

    def take(self, *tokens: int, ended: tuple[int, ...] = ()) -> tuple[dict[int, int], np.ndarray]:
        logits = self._logits(len(self.answers))
        for n, token in enumerate(tokens):
            if self.going[n]:
                self.answers[n].append(token)
                self.ends.last[n] = token
        for n in ended:
            self.going[n] = False
            self.answers[n].append(99)  # its label
        told = {n: Written(tuple(self.answers[n]), {}, 0) for n in ended}
        return self.retakes.look(self.answers, told, self.going, logits), logits


def test_a_wrong_sentence_goes_back_to_its_beginning_and_a_right_one_stays() -> None:
    play = Play(Reader({7}))
    play.take(WORD)
    assert play.take(STOP)[0] == {}
    there = play.at
    play.take(7)
    back, logits = play.take(STOP)
    assert back == {0: 2} and play.answers == [[WORD, STOP]]
    assert (logits == there).all()  # what came next there
    assert play.ends.returns[0][1] == bounds.Place(0, True, None, Counter())


def test_a_sentence_that_stays_wrong_is_left_and_does_not_condemn_the_next() -> None:
    play = Play(Reader({7}))
    for _ in range(retakes.SENTENCES):
        play.take(7)
        assert play.take(STOP)[0] == {0: 2}
    play.take(7)
    assert play.take(STOP)[0] == {} and play.answers == [[7, STOP]]
    play.take(WORD)
    assert play.take(STOP)[0] == {}
    play.take(7)
    assert play.take(STOP)[0] == {0: 2}  # the next one has retakes of its own


def test_an_ending_that_does_not_follow_goes_back_to_the_interpretation() -> None:
    play = Play(Reader(set(), good=False))
    for token in (WORD, STOP, SECTION):
        play.take(token)
    there = play.at
    for _ in range(retakes.ENDINGS):
        for token in (WORD, STOP):
            play.take(token)
        back, logits = play.take(9, ended=(0,))
        assert back == {0: 3} and play.answers == [[WORD, STOP, SECTION]] and play.going == [True]
        assert (logits == there).all()
    for token in (WORD, STOP):
        play.take(token)
    assert play.take(9, ended=(0,))[0] == {} and play.going == [False]
    assert play.answers == [[WORD, STOP, SECTION, WORD, STOP, 9, 99]]


def test_observations_that_stayed_wrong_are_not_given_another_ending() -> None:
    play = Play(Reader({7}, good=False))
    for _ in range(retakes.SENTENCES + 1):
        play.take(7)
        play.take(STOP)
    for token in (SECTION, WORD, STOP):
        play.take(token)
    assert play.take(9, ended=(0,))[0] == {} and play.going == [False]


def test_a_good_text_ends_those_about_the_same_table_only() -> None:
    play = Play(Reader(set()), count=4, copies=2)
    play.take(WORD, WORD, WORD, WORD)
    assert play.take(9, WORD, WORD, WORD, ended=(0,))[0] == {}
    assert play.going == [False, False, True, True]


@pytest.mark.parametrize("runtime", ["onnxruntime", "torch"])
def test_what_is_taken_back_was_never_read(runtime) -> None:
    """One text takes a detour and goes back, its neighbour goes on: both are what they would be alone."""
    from streamfer.expllm import decoder
    from streamfer.expllm.backends.nano import BUNDLED
    from streamfer.expllm.looks import image_tokens

    if runtime == "torch":
        pytest.importorskip("torch")
        from streamfer.expllm import model

        net = model.load(BUNDLED)[0]
    else:
        net = decoder.load(BUNDLED, 1)[0]
    image = [3] * image_tokens("mpp")
    prompts, detour, after = [[*image, 300, 301, 302], [*image, 310]], [320, 321, 322], [330, 331]
    together = net.begin(prompts, None, 60)
    for token in detour:
        together.step([token, token])
    together.back({0: len(detour)})
    first, second = net.begin(prompts[:1], None, 60), net.begin(prompts[1:], None, 60)
    for token in detour:
        second.step([token])
    for token in after:
        found = together.step([token, token])
        np.testing.assert_allclose(found[:1], first.step([token]), atol=2e-4)
        np.testing.assert_allclose(found[1:], second.step([token]), atol=2e-4)
