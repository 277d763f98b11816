"""`VesselLLM`: text that goes on, and text that fills a gap, without a chat template."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import closing
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models.llms import LLM
from langchain_core.outputs import Generation, GenerationChunk, LLMResult
from vessel_core.errors import InvalidRequest
from vessel_core.owned import owned
from vessel_core.request import checked_options
from vessel_core.types import ChatReply

from langchain_vessel.caching import afind, find, is_cached
from langchain_vessel.counting import TokenCounts
from langchain_vessel.errors import langchain_errors
from langchain_vessel.options import call_options
from langchain_vessel.replies import Ending, combined, response_metadata, token_usage
from langchain_vessel.sampling import OptionFields

_OF_A_RUN = ("tags", "metadata", "run_name", "run_id")
_FIELDS = ("model", "suffix", "extra_body")


class VesselLLM(TokenCounts, OptionFields, LLM):
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
        where = {name: value for name, value in self._where().items() if name != "backend"}
        return {
            **where,
            **self._answering(),
            **self.chosen_options(),
            "suffix": self.suffix,
            "extra_body": self.extra_body,
        }

    def generate(
        self, prompts: list[str], stop: list[str] | None = None, callbacks: Any = None, **kwargs: Any
    ) -> LLMResult:
        """Complete each prompt. LangChain's cache looks at the model alone, so a call's own options become the model's."""
        if not is_cached(self):
            return super().generate(prompts, stop, callbacks, **kwargs)
        changed, rest = self._with(kwargs)
        find(changed, changed.model, rest.get("timeout"))
        return super(VesselLLM, changed).generate(prompts, stop, callbacks, **rest)

    async def agenerate(
        self, prompts: list[str], stop: list[str] | None = None, callbacks: Any = None, **kwargs: Any
    ) -> LLMResult:
        """Complete each prompt, as `generate`."""
        if not is_cached(self):
            return await super().agenerate(prompts, stop, callbacks, **kwargs)
        changed, rest = self._with(kwargs)
        await afind(changed, changed.model, rest.get("timeout"))
        return await super(VesselLLM, changed).agenerate(prompts, stop, callbacks, **rest)

    def _with(self, given: Mapping[str, Any]) -> tuple[VesselLLM, dict[str, Any]]:
        """Return this model with the options of a call, and what is none of them; raise `InvalidRequest` on unknown ones."""
        rest = {name: value for name, value in given.items() if name in _OF_A_RUN}
        with langchain_errors():
            options = call_options({name: value for name, value in given.items() if name not in rest})
            if "timeout" in options:  # it changes no answer
                rest["timeout"] = options.pop("timeout")
            checked_options({name: value for name, value in options.items() if name not in _FIELDS})
        changed = self.model_copy(update=options)
        changed._connections = self._connections  # noqa: SLF001 - it is one object's call
        return changed, rest

    def _fields(self, stop: list[str] | None, given: Mapping[str, Any]) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "model": self.model,
            "suffix": self.suffix,
            **self.chosen_options(),
            **call_options(given),
        }
        if stop:
            fields["stop"] = stop
        if (fields.get("n") or 1) > 1:
            raise InvalidRequest(
                f"n is {fields['n']}; a completion is one text for each prompt.",
                hint="Give the prompt several times to `batch`.",
            )
        body: dict[str, Any] = {**(self.extra_body or {}), **(fields.get("extra_body") or {})}
        return {**fields, "extra_body": body} if body else fields

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        with langchain_errors():
            fields = self._fields(stop, kwargs)
            return _result([self._sync.complete(prompt, **fields) for prompt in prompts])

    async def _agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        with langchain_errors():
            fields = self._fields(stop, kwargs)
            return _result([await self._async.complete(prompt, **fields) for prompt in prompts])

    def _call(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> str:
        return self._generate([prompt], stop, run_manager, **kwargs).generations[0][0].text

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[GenerationChunk]:
        ending = Ending()
        with langchain_errors(), closing(self._sync.stream_complete(prompt, **self._fields(stop, kwargs))) as deltas:
            for delta in deltas:
                ending.add(delta)
                if delta.text:
                    chunk = GenerationChunk(text=delta.text)
                    if run_manager is not None:
                        run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk
        yield _last(ending)

    async def _astream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[GenerationChunk]:
        ending = Ending()
        with langchain_errors():
            async with owned(self._async.stream_complete(prompt, **self._fields(stop, kwargs))) as deltas:
                async for delta in deltas:
                    ending.add(delta)
                    if delta.text:
                        chunk = GenerationChunk(text=delta.text)
                        if run_manager is not None:
                            await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                        yield chunk
        yield _last(ending)


def _result(replies: list[ChatReply]) -> LLMResult:
    made = [[Generation(text=reply.text, generation_info=response_metadata(reply))] for reply in replies]
    told = [{"model_name": reply.model, "token_usage": token_usage(reply.usage)} for reply in replies]
    return LLMResult(generations=made, llm_output=combined(told))


def _last(ending: Ending) -> GenerationChunk:
    """Return the end of a text: why it ended, who wrote it, what it cost."""
    return GenerationChunk(text="", generation_info=response_metadata(ending.reply()))
