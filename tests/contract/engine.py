"""A stand-in for `llama_cpp`, which runs models in the process and has no wheels: a scripted server answers in its place.

It takes what `Llama.create_chat_completion` takes (llama-cpp-python 0.3), and gives what that gives: the documents that the
server sends, whole or one after another.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any, TypedDict
from urllib.error import HTTPError
from urllib.request import Request, urlopen


class Taken(TypedDict):
    """What `create_chat_completion` takes."""

    messages: Any
    functions: Any
    function_call: Any
    tools: Any
    tool_choice: Any
    temperature: Any
    top_p: Any
    top_k: Any
    min_p: Any
    typical_p: Any
    stream: Any
    stop: Any
    seed: Any
    response_format: Any
    max_tokens: Any
    presence_penalty: Any
    frequency_penalty: Any
    repeat_penalty: Any
    tfs_z: Any
    mirostat_mode: Any
    mirostat_tau: Any
    mirostat_eta: Any
    model: Any
    logits_processor: Any
    grammar: Any
    logit_bias: Any
    logprobs: Any
    top_logprobs: Any


class Llama:
    """A model; in place of its file it has the URL of the server that plays it."""

    def __init__(self, model_path: str, **_: Any) -> None:
        self._url = model_path.partition("#")[0]

    def create_chat_completion(self, **given: Any) -> Any:
        """Return an answer, or its chunks; raise as the engine does for what it doesn't take."""
        if unknown := given.keys() - Taken.__annotations__.keys():
            raise TypeError(f"create_chat_completion() got an unexpected keyword argument {min(unknown)!r}")
        body = json.dumps({name: value for name, value in given.items() if value is not None}).encode()
        head = {"Content-Type": "application/json"}
        try:
            reply = urlopen(Request(f"{self._url}/v1/chat/completions", body, head))
        except HTTPError as error:
            told = json.loads(error.read())["error"]
            raise ValueError(f"Requested tokens ({told['n_prompt_tokens']}) exceed context window") from None
        return _chunks(reply) if given.get("stream") else json.loads(reply.read())


def _chunks(reply: Any) -> Iterator[Any]:
    with reply:
        for line in reply:
            if line.startswith(b"data: {"):
                yield json.loads(line[6:])


class LlamaGrammar:
    """A grammar, which stays the text it is."""

    @staticmethod
    def from_string(text: str) -> str:
        """Return the text."""
        return text


def install() -> None:
    """Put this into the place of `llama_cpp`."""
    module: Any = ModuleType("llama_cpp")
    module.Llama, module.LlamaGrammar = Llama, LlamaGrammar
    sys.modules["llama_cpp"] = module
