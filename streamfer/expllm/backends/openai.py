"""Explanations by any OpenAI-compatible server: vLLM, SGLang, `transformers serve`, llama.cpp and the like.

Each ask is one request to /chat/completions: rules, key frames as data URLs, evidence table; `explain.requests` are in
flight at once, since such servers batch by themselves. The answer is asked for as JSON by a schema whose fields stand in
the order observations, interpretation, conclusion, label, so that the text is written before the label it leads to and
the label can only be one of the list. A server that answers 400 or 422 to that is asked for any JSON object, then for
plain text; what works is kept and said in the log once. No server is trusted to have obeyed: answer.py reads
defensively, attempts.py checks.

A job that the server cannot answer ends with its reason. When the server is away, or all asks of a batch fail and it
does not answer a request for its models either, ExplainError goes to the worker, which gives its jobs back untried.

`revision` is the digest of the prompt; which weights stand behind a model's name is known to the server alone.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from streamfer.errors import ExplainError, ModelMissing, UsageError
from streamfer.expllm import attempts, prompt
from streamfer.expllm.answer import as_text
from streamfer.expllm.attempts import Ask, Draft
from streamfer.expllm.backends.http import Away, Client, Trouble
from streamfer.records import Job, Result

if TYPE_CHECKING:
    import numpy as np

    from streamfer.config import Explain

log = logging.getLogger(__name__)

_FORMATS: tuple[tuple[str, prompt.Form, dict[str, Any]], ...] = (
    ("a JSON schema", "json", {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "chain_of_thought", "strict": True, "schema": prompt.SCHEMA},
        }
    }),
    ("a JSON object", "json", {"response_format": {"type": "json_object"}}),
    ("plain text", "text", {}),
)  # fmt: skip
"""How an answer is asked for, the strictest first: its name, the form, what the request carries for it."""


class OpenAI:
    """A Backend (see backends/__init__.py) and its Writer in one."""

    name = "openai"
    order: attempts.Order = "cot_first"

    def __init__(self, settings: Explain) -> None:
        """Asks the server once which models it has.

        Raises UsageError without an address or with a key that is not set, ModelMissing without the model,
        ExplainError when the server is away or refuses the key.
        """
        if settings.url is None:
            raise UsageError("the backend openai needs explain.url, the address of its server: http://127.0.0.1:8000/v1")
        self._settings, self._format, self._lock = settings, 0, threading.Lock()
        self._client = Client(
            settings.url, _key(settings.api_key_env),
            connect_s=settings.connect_s, read_s=settings.read_s, retries=settings.retries,
        )  # fmt: skip
        self.model = self._find_model(settings.model)
        self.revision = "prompt-" + hashlib.sha256(prompt.system("json").encode()).hexdigest()[:8]

    def explain(self, jobs: list[Job], images: list[dict[str, np.ndarray]]) -> list[Result]:
        return attempts.explain(
            self, jobs, images, floor=self._settings.floor, attempts=self._settings.attempts, backend=self.name,
            model=self.model, revision=self.revision, order=self.order,
        )  # fmt: skip

    def write(self, asks: list[Ask]) -> list[Draft]:
        """One draft for each ask. Raises ExplainError or ModelMissing when the server cannot answer any."""
        if not asks:
            return []
        with ThreadPoolExecutor(min(self._settings.requests, len(asks)), "openai") as pool:
            answers = list(pool.map(self._try, asks))
        troubles = [answer for answer in answers if isinstance(answer, Trouble)]
        if len(troubles) == len(asks):
            self._check_alive(troubles[0])
        return [Draft("", 0, error=str(answer)) if isinstance(answer, Trouble) else answer for answer in answers]

    def _try(self, ask: Ask) -> Draft | Trouble:
        try:
            return self._draft(ask)
        except Trouble as trouble:
            return trouble

    def _draft(self, ask: Ask) -> Draft:
        pictures = [
            (role, {"type": "image_url", "image_url": {"url": _data_url(ask.images[role])}})
            for role in self._settings.pictures
            if role in ask.images
        ]
        first = self._format
        for number in range(first, len(_FORMATS)):
            _, form, extra = _FORMATS[number]
            body = {
                "model": self.model,
                "messages": _plain_where_possible(prompt.messages(ask, pictures, form)),
                "max_tokens": self._settings.max_tokens,
                "temperature": self._settings.temperature,
                **extra,
            }
            status, answer = self._client.request("POST", "/chat/completions", body)
            if status not in (400, 422):
                break
        if status == 200:
            self._keep(number)
            return _read(answer) or Draft("", 0, error=f"the server's answer is no chat completion ({self._say(answer)})")
        self._refuse(status, answer)
        return Draft("", 0, error=f"the server refused the request with {status} ({self._say(answer)})")

    def _keep(self, number: int) -> None:
        """Remember the format that the server took. Requests in flight at once may find it at the same time."""
        with self._lock:
            if number > self._format:
                log.warning("the server at %s refuses %s as the form of its answers: from now on %s is asked for",
                            self._client.where, _FORMATS[self._format][0], _FORMATS[number][0])  # fmt: skip
                self._format = number

    def _find_model(self, wanted: str | None) -> str:
        try:
            status, answer = self._client.request("GET", "/models")
        except Trouble as trouble:
            if wanted is not None and _answers(trouble):  # transformers serve without a cache folder answers 500
                return wanted
            raise _away(trouble) from None
        if status not in (404, 405):  # not every server lists its models
            self._refuse(status, answer)
        listed = answer.get("data") if status == 200 and isinstance(answer, dict) else None
        names = [str(one["id"]) for one in listed or [] if isinstance(one, dict) and "id" in one]
        if wanted is None and len(names) != 1:
            raise UsageError(f"name the model in explain.model; the server at {self._client.where} has "
                             f"{self._client.clean(', '.join(names)) or 'no list of its models'}")  # fmt: skip
        if wanted is not None and names and wanted not in names:
            log.warning("the server at %s does not list the model %s", self._client.where, wanted)
        return wanted or names[0]

    def _refuse(self, status: int, answer: Any) -> None:
        """Raise for answers that every other request would get as well."""
        if status in (401, 403):
            raise ExplainError(f"the server at {self._client.where} refuses the key ({status}): put the right one into the "
                               "environment variable that explain.api_key_env names")  # fmt: skip
        if status == 404:
            raise ModelMissing(f"the server at {self._client.where} answered 404 ({self._say(answer)}): correct explain.url, "
                               "which ends before /chat/completions, or explain.model")  # fmt: skip
        if 300 <= status < 400:
            raise ExplainError(f"the server at {self._client.where} sends requests elsewhere ({status}): give that address")

    def _check_alive(self, trouble: Trouble) -> None:
        """Nothing of a batch could be answered: is it these jobs, or is the server away?"""
        if isinstance(trouble, Away):
            raise _away(trouble)
        try:
            self._client.request("GET", "/models", retries=0)
        except Trouble as gone:
            if not _answers(gone):
                raise _away(gone) from None

    def _say(self, answer: Any) -> str:
        """The message of an error as servers word it, short and without the key."""
        error = answer.get("error", answer.get("detail", answer)) if isinstance(answer, dict) else answer
        return self._client.clean(str(error.get("message", error) if isinstance(error, dict) else error))


def _key(variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UsageError(f"explain.api_key_env names {variable}, but that environment variable is empty or not set")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise UsageError(f"the environment variable {variable} holds something that cannot be a key: check for line breaks")
    return key


def _answers(trouble: Trouble) -> bool:
    """Is there a server, however wrong, and not only a gateway in front of none?"""
    return trouble.status is not None and trouble.status not in (502, 503, 504)


def _away(trouble: Trouble) -> ExplainError:
    return ExplainError(f"no explanations now: {trouble}; start it or correct explain.url")


def _data_url(image: np.ndarray) -> str:
    from streamfer.jobs.images import encode

    return "data:image/jpeg;base64," + base64.b64encode(encode(image)).decode()


def _plain_where_possible(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Turns that are text only as a plain string: servers of text models know no other."""
    return [
        {**turn, "content": turn["content"][0]["text"]} if [p["type"] for p in turn["content"]] == ["text"] else turn
        for turn in messages
    ]


def _read(answer: Any) -> Draft | None:
    """The text of a chat completion and its tokens; None when it is none."""
    try:
        message = answer["choices"][0]["message"]
        content = message.get("content") or message.get("refusal") or ""
    except (AttributeError, IndexError, KeyError, TypeError):
        return None
    if isinstance(content, list):  # content parts
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    if not isinstance(content, str):
        return None
    usage = answer.get("usage")
    tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
    return Draft(as_text(content), tokens if isinstance(tokens, int) and 0 <= tokens < 10**9 else len(content.split()))
