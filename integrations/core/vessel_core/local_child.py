"""The child process of a `LocalServer`: one xllamacpp server, configured by one JSON line on stdin."""

from __future__ import annotations

import json
import os
import sys
import threading
from importlib import import_module
from typing import Any

__all__ = ["serve"]


def serve() -> None:
    """Serve what the first line of stdin says until stdin ends; answer on stdout with a URL or an error."""
    config: dict[str, Any] = json.loads(sys.stdin.readline())
    watcher = threading.Thread(target=_end_with_stdin, daemon=True)
    watcher.start()  # before loading, which may take long
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever the server's own code prints must not stand among the answers
    try:
        xllamacpp: Any = import_module("xllamacpp")  # it has no types
        server = xllamacpp.Server(_parameters(xllamacpp, config))
    except (ImportError, RuntimeError) as error:
        answers.write(json.dumps({"error": str(error)}) + "\n")
        answers.flush()
        sys.exit(1)  # not at once: llama.cpp's log has a thread of its own, which writes the reason on the way out
    answers.write(json.dumps({"url": server.listening_address}) + "\n")
    answers.flush()
    watcher.join()


def _end_with_stdin() -> None:
    sys.stdin.read()
    os._exit(0)  # at once, also in the middle of an answer: whoever asked for it is gone or wants it to end


def _parameters(xllamacpp: Any, config: dict[str, Any]) -> Any:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = config["model"]
    parameters.mmproj.path = config["mmproj"]
    parameters.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(path, scale) for path, scale in config["lora"]]
    parameters.model_alias = {config["alias"]}
    parameters.hostnames = [config["host"]]
    parameters.port = config["port"]
    parameters.n_ctx = config["context_length"]
    parameters.n_parallel = config["parallel"]
    parameters.kv_unified = True  # else each slot would get only its share of the context
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = config["threads"]
    parameters.embedding = config["embeddings"]
    if config["embeddings"]:
        parameters.n_batch = parameters.n_ubatch = config["batch_size"]  # one input must fit one physical batch
    if config["pooling"]:
        parameters.pooling_type = getattr(
            xllamacpp.llama_pooling_type, f"LLAMA_POOLING_TYPE_{config['pooling'].upper()}"
        )
    if config["reasoning_format"]:
        name = config["reasoning_format"].upper().replace("-", "_")
        parameters.reasoning_format = getattr(xllamacpp.common_reasoning_format, f"COMMON_REASONING_FORMAT_{name}")
    if config["sse_ping_interval"] is not None:
        parameters.sse_ping_interval = config["sse_ping_interval"]
    if config["chat_template"]:
        parameters.chat_template = config["chat_template"]
    parameters.api_keys = [config["api_key"]] if config["api_key"] else []
    parameters.use_jinja = True
    if config["slot_save_path"]:
        parameters.slot_save_path = config["slot_save_path"]
    parameters.warmup = config["warmup"]
    parameters.check_tensors = config["check_tensors"]
    parameters.endpoint_metrics = parameters.endpoint_slots = True
    parameters.verbosity = 1  # errors only; prompts show from 4 on
    return parameters


if __name__ == "__main__":
    serve()
