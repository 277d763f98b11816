"""The core's replies → LangChain's messages, without validating what was just made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, InvalidToolCall, ToolCall
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult
from vessel_core.types import ChatReply, Delta, Gathering, Timings, ToolCallDelta, Usage
from vessel_core.unvalidated import built
from vessel_core.wire.arguments import parse_arguments

from langchain_vessel.blocks import PROVIDER

GIVEN = {"content", "additional_kwargs", "response_metadata", "tool_calls", "invalid_tool_calls", "usage_metadata"}
"""The fields of a whole message that are said."""

TIMINGS = (*Timings.__dataclass_fields__, "tokens_per_second", "prompt_tokens_per_second")


class Ending:
    """What is said once of an answer: why it ended, who gave it, what it cost. It is kept for the last chunk."""

    def __init__(self) -> None:
        self._rest = Gathering()
        self._repaired: dict[str, str] = {}

    def add(self, delta: Delta) -> None:
        """Take from a delta what is not its words."""
        if delta.finish or delta.usage or delta.model or delta.timings or delta.refusal or delta.truncated:
            rest = Delta(finish=delta.finish, usage=delta.usage, timings=delta.timings, model=delta.model)
            rest.refusal, rest.truncated = delta.refusal, delta.truncated
            rest.response_id, rest.system_fingerprint = delta.response_id, delta.system_fingerprint
            self._rest.add(rest)

    def repair(self, call_id: str | None, piece: ToolCallDelta) -> None:
        """Take from a piece of a call the text as the model wrote it, if its arguments were mended."""
        if piece.repaired is not None:
            self._repaired[call_id or ""] = piece.repaired

    def reply(self) -> ChatReply:
        """Return all of it as a reply, whose words are not meant."""
        reply = self._rest.reply()
        reply.repaired = self._repaired
        return reply


def to_result(reply: ChatReply) -> ChatResult:
    """Return a whole answer, one generation for each choice; as with `chunk`, what was just made is not validated."""
    generations = [_generation(choice, reply) for choice in (reply, *reply.alternatives)]
    output = {"model_name": reply.model, "token_usage": token_usage(reply.usage)}
    told = {"generations": generations, "llm_output": output}
    return built(ChatResult, told, {"generations", "llm_output"}, None)


def _generation(choice: ChatReply, whole: ChatReply) -> ChatGeneration:
    metadata = response_metadata(whole if choice is whole else _with_head(choice, whole))
    if choice.logprobs:
        metadata["logprobs"] = {"content": list(choice.logprobs)}
    more = {"reasoning_content": choice.reasoning, "refusal": choice.refusal}
    fields: dict[str, Any] = {
        "content": choice.text,
        "additional_kwargs": {name: value for name, value in more.items() if value},
        "response_metadata": {"model_provider": PROVIDER, **metadata},
        "type": "ai",
        "name": None,
        "id": None,
        "tool_calls": [
            ToolCall(
                name=call["function"]["name"],
                args=parse_arguments(call["function"]["arguments"]) or {},
                id=call["id"],
                type="tool_call",
            )
            for call in choice.tool_calls
        ],
        "invalid_tool_calls": [
            InvalidToolCall(type="invalid_tool_call", id=call.id, name=call.name, args=call.arguments, error=call.error)
            for call in choice.invalid_tool_calls
        ],
        "usage_metadata": usage_metadata(choice.usage),
    }
    message = built(AIMessage, fields, GIVEN, {})
    told = {"text": choice.text, "generation_info": {"finish_reason": choice.finish}, "type": "ChatGeneration"}
    return built(ChatGeneration, {**told, "message": message}, {"message", "text", "generation_info"}, None)


def _with_head(choice: ChatReply, whole: ChatReply) -> ChatReply:
    choice.model, choice.response_id = whole.model, whole.response_id
    choice.system_fingerprint = whole.system_fingerprint
    return choice


def response_metadata(reply: ChatReply) -> dict[str, Any]:
    """Return what is told about an answer: the model, why it ended, the timings in milliseconds, the server's ids.

    `repaired_tool_calls` holds, by the id of a call whose arguments were mended, the text as the model wrote it.
    """
    fields = {
        "model_name": reply.model,
        "finish_reason": reply.finish,
        "token_usage": token_usage(reply.usage),
        "timings": _timings(reply.timings),
        "id": reply.response_id,
        "system_fingerprint": reply.system_fingerprint,
        "truncated": reply.truncated or None,
        "repaired_tool_calls": reply.repaired or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _timings(timings: Timings | None) -> dict[str, Any] | None:
    if timings is None:
        return None
    return {name: value for name in TIMINGS if (value := getattr(timings, name)) is not None}


def token_usage(usage: Usage | None) -> dict[str, int] | None:
    """Return the counts under OpenAI's names, where callbacks and older programs look for them."""
    if usage is None:
        return None
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }


def combined(outputs: Sequence[dict[str, Any] | None]) -> dict[str, Any]:
    """Return what is told of several answers at once: the model, and all their tokens."""
    told = [output for output in outputs if output]
    models = [output["model_name"] for output in told if output.get("model_name")]
    counts: Counter[str] = Counter()
    for output in told:
        counts.update(output.get("token_usage") or {})
    return {"model_name": models[0] if models else None, "token_usage": dict(counts)}


def usage_metadata(usage: Usage | None) -> UsageMetadata | None:
    """Return the counts as LangChain has them; the details only where the server gave them."""
    if usage is None:
        return None
    made = UsageMetadata(
        input_tokens=usage.prompt_tokens, output_tokens=usage.completion_tokens, total_tokens=usage.total_tokens
    )
    if usage.cached_tokens is not None:
        made["input_token_details"] = InputTokenDetails(cache_read=usage.cached_tokens)
    if usage.reasoning_tokens is not None:
        made["output_token_details"] = OutputTokenDetails(reasoning=usage.reasoning_tokens)
    return made
