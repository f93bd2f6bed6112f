"""Reading what a language model sent back into the text of text.py, whatever it made of the format.

`as_text(content)` understands a JSON object with the fields of prompt.py, also in fences, amid chatter, nested, or cut
off in the middle (what is whole of it counts), and text that has the three sections already. Thoughts in <think> tags
are left away: they are no part of the answer. It repairs form, never content: a missing field stays missing, a label
outside the list stays as it is, and parse_cot then refuses it with the reason. Nothing is ever raised.
"""

from __future__ import annotations

import json
import re
from typing import Any

from streamfer.expllm.prompt import FIELDS
from streamfer.expllm.text import MAX_CHARS, SECTIONS

_THOUGHTS = re.compile(r"<(think|thinking|thought)>.*?(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_UNOPENED = re.compile(r"\A.*</(?:think|thinking|thought)>", re.DOTALL | re.IGNORECASE)  # templates may open the tag
_WHOLE_FIELD = re.compile(rf'"({"|".join(FIELDS)})"\s*:\s*"((?:[^"\\]|\\.)*)"', re.IGNORECASE)
_SECTIONED = re.compile(r"key\s+observations", re.IGNORECASE)
_OBJECTS = 20  # opening braces tried
_DECODER = json.JSONDecoder(strict=False)  # line breaks inside strings are let through


def as_text(content: str) -> str:
    """The answer as text with sections and a label line, as far as it has them."""
    content = _UNOPENED.sub("", _THOUGHTS.sub("", content[: 4 * MAX_CHARS])).strip()
    found = _object(content) or _half(content)
    if not found or (len(found) < 2 and _SECTIONED.search(content)):  # a stray object beside a text that has sections
        return content
    lines = [f"**{name}:**\n{found[key]}" for key, name in zip(FIELDS[:3], SECTIONS, strict=True) if key in found]
    if "label" in found:
        lines.append(f"Label: {found['label']}")
    return "\n\n".join(lines)


def _object(content: str) -> dict[str, str]:
    """The fields of the first JSON object that has most of them."""
    best: dict[str, str] = {}
    at = -1
    for _ in range(_OBJECTS):
        at = content.find("{", at + 1)
        if at < 0:
            break
        try:
            value, _ = _DECODER.raw_decode(content, at)
        except (ValueError, RecursionError):
            continue
        fields = _fields(value)
        best = max(best, fields, key=len)
    return best


def _half(content: str) -> dict[str, str]:
    """The fields that are whole in an object that is not."""
    found: dict[str, str] = {}
    for name, raw in _WHOLE_FIELD.findall(content):
        try:
            value = _DECODER.decode(f'"{raw}"')
        except ValueError:
            continue
        if text := _words(value):
            found.setdefault(name.lower(), text)
    return found


def _fields(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {key.lower(): text for key, item in value.items() if key.lower() in FIELDS and (text := _words(item))}


def _words(value: Any) -> str:
    """Text or a list of texts on one line, so that it cannot make headers of its own; "" for every other type."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = " ".join(value)
    return " ".join(value.split()) if isinstance(value, str) else ""
