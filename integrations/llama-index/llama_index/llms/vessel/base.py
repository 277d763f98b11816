"""`Vessel`: the LLM. It says what LlamaIndex wants in the core's words, and the core's answers in LlamaIndex's."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import closing
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.instrumentation.events.llm import LLMStructuredPredictEndEvent, LLMStructuredPredictStartEvent
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.llms.structured_llm import StructuredLLM
from llama_index.core.program.utils import FlexibleModel
from llama_index.core.prompts import BasePromptTemplate, PromptTemplate
from llama_index.core.tools.types import BaseTool
from llama_index.core.types import Model, PydanticProgramMode
from llama_index.llms.vessel.chat import ChatForms
from llama_index.llms.vessel.structured import (
    VesselStructuredLLM,
    aobjects_of,
    is_called_for,
    object_of,
    objects_of,
    structured_options,
)
from llama_index.llms.vessel.tools import tool_request, tool_selections
from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.dispatcher import Dispatcher
from pydantic import BaseModel
from vessel_core.owned import owned

dispatcher: Dispatcher = get_dispatcher(__name__)

#: The program modes in which the server is held to the schema; the others (LLM, GUIDANCE…) are core's.
OURS = (PydanticProgramMode.DEFAULT, PydanticProgramMode.FUNCTION)


class Vessel(ChatForms):
    """A model on a local server: llama.cpp, LM Studio, Ollama, or any OpenAI-compatible one.

    Without `base_url` a running server is found at first use; without `model` its loaded model is used. Construction
    does no I/O, and raises `vessel_core.errors.InvalidConfig` for what can't be right, pydantic's `ValidationError` for a
    wrong type. Each call raises the errors of `vessel_core.errors`, and takes the options of a chat by name, which hold for
    that call.

        llm = Vessel(base_url="http://gpu-box:8080", temperature=0.2)
        llm.chat([ChatMessage("Hello")]).message.content
        for chunk in llm.stream_chat([ChatMessage("Hello")], max_tokens=100):
            print(chunk.delta, end="")

    Nor does `metadata`: the server is asked for the context window when that is first read, or with the first answer; code
    in an event loop awaits `aconnect()`.
    """

    @classmethod
    def class_name(cls) -> str:
        """Return the name by which LlamaIndex stores it."""
        return "Vessel"

    # --------------------------------------------------------------------------------------------------------- tools

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        parallel, required = allow_parallel_tool_calls, tool_required
        return tool_request(tools, user_msg, chat_history, parallel=parallel, required=required, options=kwargs)

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """Return the tool calls of an answer; of one that is still coming, with the arguments as far as they came.

        Raises `InvalidOutput`, a `ValueError`, for a call that can't be run, and where there is none.
        """
        return tool_selections(response, required=error_on_no_tool_call)

    # ---------------------------------------------------------------------------------------------- structured answers

    def structured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        """Return an object: the server holds the model to the schema of its class.

        With `pydantic_program_mode=PydanticProgramMode.FUNCTION` it comes as the arguments of a call that must be made.

        Raises `InvalidOutput`, a `ValueError`, if the answer is none all the same (it was cut off).
        """
        if self.pydantic_program_mode not in OURS:
            return super().structured_predict(output_cls, prompt, llm_kwargs, **prompt_args)
        dispatcher.event(
            LLMStructuredPredictStartEvent(output_cls=output_cls, template=prompt, template_args=prompt_args)
        )
        by_call = is_called_for(self)
        options = structured_options(output_cls, llm_kwargs, by_call=by_call)
        response = self.chat(self._prompted(prompt, prompt_args), **options)
        made = object_of(output_cls, response, by_call=by_call)
        dispatcher.event(LLMStructuredPredictEndEvent(output=made))
        return made

    async def astructured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        """Return an object, as `structured_predict`."""
        if self.pydantic_program_mode not in OURS:
            return await super().astructured_predict(output_cls, prompt, llm_kwargs, **prompt_args)
        dispatcher.event(
            LLMStructuredPredictStartEvent(output_cls=output_cls, template=prompt, template_args=prompt_args)
        )
        by_call = is_called_for(self)
        options = structured_options(output_cls, llm_kwargs, by_call=by_call)
        response = await self.achat(self._prompted(prompt, prompt_args), **options)
        made = object_of(output_cls, response, by_call=by_call)
        dispatcher.event(LLMStructuredPredictEndEvent(output=made))
        return made

    def _structured_stream_call(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Model | list[Model] | FlexibleModel | list[FlexibleModel], None, None]:
        if self.pydantic_program_mode not in OURS:
            yield from super()._structured_stream_call(output_cls, prompt, llm_kwargs, **prompt_args)
            return
        by_call = is_called_for(self)
        options = structured_options(output_cls, llm_kwargs, by_call=by_call)
        responses = self.stream_chat(self._prompted(prompt, prompt_args), **options)
        with closing(objects_of(output_cls, responses, by_call=by_call)) as objects:
            yield from (made for _, made in objects if made is not None)

    async def _structured_astream_call(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Model | list[Model] | FlexibleModel | list[FlexibleModel], None]:
        if self.pydantic_program_mode not in OURS:
            return await super()._structured_astream_call(output_cls, prompt, llm_kwargs, **prompt_args)
        by_call = is_called_for(self)
        options = structured_options(output_cls, llm_kwargs, by_call=by_call)
        responses = await self.astream_chat(self._prompted(prompt, prompt_args), **options)

        async def changed() -> AsyncGenerator[Model | FlexibleModel, None]:
            async with owned(aobjects_of(output_cls, responses, by_call=by_call)) as objects:
                async for _, made in objects:
                    if made is not None:
                        yield made

        return changed()

    def as_structured_llm(self, output_cls: type[BaseModel], **kwargs: Any) -> StructuredLLM:
        """Return an LLM whose every answer is an object of that class, as JSON and in `raw`."""
        return VesselStructuredLLM(llm=self, output_cls=output_cls, **kwargs)

    def _prompted(self, prompt: BasePromptTemplate, arguments: Mapping[str, Any]) -> list[ChatMessage]:
        """Return the messages of a prompt, behind the system prompt."""
        return self._extend_messages(prompt.format_messages(llm=self, **arguments))
