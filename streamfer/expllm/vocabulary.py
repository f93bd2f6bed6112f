"""The tokens of a tokenizer.json by number: all that reading an answer needs, without the package that trains and encodes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol


class Tokens(Protocol):
    """What the codec needs of a tokenizer; `tokenizers.Tokenizer` has it too, and `encode` besides."""

    def token_to_id(self, token: str) -> int | None: ...
    def id_to_token(self, id: int) -> str | None: ...
    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str: ...
    def get_vocab(self) -> dict[str, int]: ...
    def get_vocab_size(self) -> int: ...


class Vocabulary:
    """Tokens of a file that `tokenizers` wrote, those added after training included."""

    def __init__(self, ids: dict[str, int]) -> None:
        self._ids = ids
        self._tokens = {number: token for token, number in ids.items()}

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        """Raises KeyError, ValueError or TypeError when the file is something else."""
        file = json.loads(path.read_text(encoding="utf-8"))
        added = {str(row["content"]): int(row["id"]) for row in file.get("added_tokens", [])}
        return cls({str(token): int(number) for token, number in file["model"]["vocab"].items()} | added)

    def token_to_id(self, token: str) -> int | None:
        return self._ids.get(token)

    def id_to_token(self, id: int) -> str | None:
        return self._tokens.get(id)

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        """Tokens one after the other: the small model's pieces hold their own spaces (encoding.train_tokenizer)."""
        if skip_special_tokens:
            raise NotImplementedError("a vocabulary does not know which tokens are special")
        return "".join(self._tokens.get(number, "") for number in ids)

    def get_vocab(self) -> dict[str, int]:
        return dict(self._ids)

    def get_vocab_size(self) -> int:
        return len(self._ids)
