"""`VesselLLM`: text that goes on, and text that fills a gap, without a chat template."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import closing
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models.llms import LLM
from langchain_core.outputs import GenerationChunk
from vessel_core.owned import owned

from langchain_vessel.errors import langchain_errors
from langchain_vessel.options import call_options
from langchain_vessel.sampling import OptionFields


class VesselLLM(OptionFields, LLM):
    """A model that completes text: what it is given goes to it as it is, no template around it.

    With `suffix`, given here or with a call, it writes what belongs between prompt and suffix, as code editors want it. For
    a model that follows instructions `ChatVessel` is the right class. Raises `Unsupported` where the server can't.

        VesselLLM(model="qwen2.5-coder", max_tokens=64).invoke("def add(a, b):\\n", suffix="\\nprint(add(1, 2))")
    """

    suffix: str | None = None
    extra_body: dict[str, Any] | None = None

    @property
    def _llm_type(self) -> str:
        return "vessel-llm"

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        settings: dict[str, Any] = {**self._where(), **self.chosen_options()}
        return {**settings, "suffix": self.suffix, "extra_body": self.extra_body}

    def _fields(self, stop: list[str] | None, given: Mapping[str, Any]) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "model": self.model,
            "suffix": self.suffix,
            **self.chosen_options(),
            **call_options(given),
        }
        if stop:
            fields["stop"] = stop
        body: dict[str, Any] = {**(self.extra_body or {}), **(fields.get("extra_body") or {})}
        return {**fields, "extra_body": body} if body else fields

    def _call(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> str:
        with langchain_errors():
            return self._sync.complete(prompt, **self._fields(stop, kwargs)).text

    async def _acall(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> str:
        with langchain_errors():
            return (await self._async.complete(prompt, **self._fields(stop, kwargs))).text

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[GenerationChunk]:
        with langchain_errors(), closing(self._sync.stream_complete(prompt, **self._fields(stop, kwargs))) as deltas:
            for delta in deltas:
                if delta.text:
                    chunk = GenerationChunk(text=delta.text)
                    if run_manager is not None:
                        run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk

    async def _astream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[GenerationChunk]:
        with langchain_errors():
            async with owned(self._async.stream_complete(prompt, **self._fields(stop, kwargs))) as deltas:
                async for delta in deltas:
                    if delta.text:
                        chunk = GenerationChunk(text=delta.text)
                        if run_manager is not None:
                            await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                        yield chunk
