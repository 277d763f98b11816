"""Real llama.cpp servers for the tests, one child process each: started when first asked for, stopped at the end.

They serve the demo models, which are built once into the user's cache folder. Each fixture yields the running
`LocalServer`; its `base_url` has no `/v1`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from vessel_core.local import LocalServer

#: What `keyed_server` wants to be told.
KEY = "secret-key"

#: A template that knows nothing of tools: llama.cpp drops them without a word.
NO_TOOLS = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""

#: A template with named channels, which llama.cpp expects in the answer too. The demo model writes none, so a stream
#: opens with 200 and one delta, then breaks off with an error and no `[DONE]`.
CHANNELS = """\
{%- for message in messages -%}
{{- '<|start|>' + message.role + ('<|channel|>final' if message.role == 'assistant' else '') -}}
{{- '<|message|>' + message.content + '<|end|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|start|>assistant\\n' -}}{%- endif -%}
"""


@pytest.fixture(scope="session")
def chat_server() -> Iterator[LocalServer]:
    """Chat with tools and JSON schemas, pictures, embeddings."""
    with LocalServer.demo() as server:
        yield server


@pytest.fixture(scope="session")
def assistant_server() -> Iterator[LocalServer]:
    """The trained model: what it says makes sense."""
    with LocalServer.demo("assistant") as server:
        yield server


@pytest.fixture(scope="session")
def thinking_server() -> Iterator[LocalServer]:
    """A model that opens `<think>` itself, unless `enable_thinking` is false."""
    with LocalServer.demo("thinking") as server:
        yield server


@pytest.fixture(scope="session")
def forced_thinking_server() -> Iterator[LocalServer]:
    """A model whose template opens `<think>`, always."""
    with LocalServer.demo("thinking_forced") as server:
        yield server


@pytest.fixture(scope="session")
def embedding_server() -> Iterator[LocalServer]:
    """Lexical embeddings; no chat."""
    with LocalServer.demo("embedding") as server:
        yield server


@pytest.fixture(scope="session")
def rerank_server() -> Iterator[LocalServer]:
    """A reranker; no chat."""
    with LocalServer.demo("rerank") as server:
        yield server


@pytest.fixture(scope="session")
def keyed_server() -> Iterator[LocalServer]:
    """Like `chat_server`, but it wants `KEY`."""
    with LocalServer.demo(api_key=KEY) as server:
        yield server


@pytest.fixture(scope="session")
def small_context_server() -> Iterator[LocalServer]:
    """Like `chat_server`, with two slots and room for 1024 tokens."""
    with LocalServer.demo(context_length=1024, parallel=2) as server:
        yield server


@pytest.fixture(scope="session")
def no_tools_server() -> Iterator[LocalServer]:
    """Like `chat_server`, with a template that can't show tools to the model."""
    with LocalServer.demo(chat_template=NO_TOOLS) as server:
        yield server


@pytest.fixture(scope="session")
def broken_stream_server() -> Iterator[LocalServer]:
    """A server that fails in the middle of every chat stream, and with 500 outside of one."""
    with LocalServer.demo(chat_template=CHANNELS) as server:
        yield server


@pytest.fixture(scope="session")
def lora_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """Like `chat_server`, with an adapter that makes the model write nothing but `!`; its scale is 0. It keeps its slots."""
    folder = tmp_path_factory.mktemp("lora")
    write_adapter(adapter := folder / "shouting.gguf")
    with LocalServer.demo(lora={adapter: 0.0}, slot_save_path=folder) as server:
        yield server


def write_adapter(path: Path) -> None:
    """Write a LoRA adapter of rank 1 for the chat model: it reads the constant, and adds to the logit of one token."""
    import numpy as np
    from vessel_demo_model.behaviour import Place
    from vessel_demo_model.chat import WIDTH
    from vessel_demo_model.gguf_file import write
    from vessel_demo_model.tokenizer import vocabulary

    words = vocabulary()
    reads, adds = np.zeros((1, WIDTH), np.float32), np.zeros((len(words.tokens), 1), np.float32)
    reads[0, Place.CONSTANT] = 1.0
    adds[words.id("!"), 0] = 1000.0
    settings = {"general.type": "adapter", "adapter.type": "lora", "adapter.lora.alpha": 1.0}
    write(path, "llama", settings, {"output.weight.lora_a": reads, "output.weight.lora_b": adds})
