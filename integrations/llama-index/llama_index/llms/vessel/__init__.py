"""LlamaIndex's LLM for local servers: llama.cpp, LM Studio, Ollama and any OpenAI-compatible server.

from llama_index.llms.vessel import Vessel

llm = Vessel()                                      # a running server is found, its loaded model is used
llm = Vessel(model="qwen3:8b", backend="ollama")
print(llm.complete("Say hello."))
"""

from llama_index.llms.vessel.base import Vessel

__all__ = ["Vessel"]
