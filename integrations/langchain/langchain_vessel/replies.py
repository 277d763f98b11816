"""The core's deltas → LangChain's chunks and messages, made once per delta and without validating what was just made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk, InvalidToolCall, ToolCall, ToolCallChunk
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.utils.json import parse_partial_json
from vessel_core.types import ChatReply, Delta, Gathering, Timings, ToolCallDelta, Usage
from vessel_core.wire.tools import parse_arguments

from langchain_vessel.blocks import PROVIDER
from langchain_vessel.building import built

GIVEN = {"content", "additional_kwargs", "response_metadata", "tool_calls", "invalid_tool_calls", "usage_metadata"}
"""The fields of a whole message that are said; then those of a chunk of text, of one with pieces of calls, of the last."""

SAYING = ("content", "additional_kwargs", "response_metadata")
CALLING = (*SAYING, "tool_call_chunks", "tool_calls", "invalid_tool_calls")
ENDING = (*SAYING, "usage_metadata", "chunk_position")

LONGEST_COMPLETED = 128
"""Characters of a piece of arguments that may lack its end: LangChain's completion takes 8 ms for 1,000 that are no JSON, four
times as long for twice as many, and 500 such pieces may come. A longer piece is read if it is whole."""

TIMINGS = (*Timings.__dataclass_fields__, "tokens_per_second", "prompt_tokens_per_second")


def chunk(
    text: str = "",
    *,
    reasoning: str = "",
    calls: list[ToolCallChunk] | None = None,
    later: Collection[int] = (),
    metadata: Mapping[str, Any] | None = None,
    usage: UsageMetadata | None = None,
    last: bool = False,
) -> ChatGenerationChunk:
    """Return one piece of an answer. `later` are the calls, by place, whose arguments began in an earlier one.

    It is not validated, which would cost more than everything else on a token's way. A test holds that it equals a
    validated one in each field.
    """
    tool_calls, invalid_tool_calls = _read(calls, later) if calls else ([], [])
    fields: dict[str, Any] = {
        "content": text,
        "additional_kwargs": {"reasoning_content": reasoning} if reasoning else {},
        "response_metadata": {"model_provider": PROVIDER, **metadata} if metadata else {"model_provider": PROVIDER},
        "type": "AIMessageChunk",
        "name": None,
        "id": None,
        "tool_calls": tool_calls,
        "invalid_tool_calls": invalid_tool_calls,
        "usage_metadata": usage,
        "tool_call_chunks": calls or [],
        "chunk_position": "last" if last else None,
    }
    message = built(AIMessageChunk, fields, set(CALLING if calls else ENDING if last else SAYING), {})
    told = {"text": text, "generation_info": None, "type": "ChatGenerationChunk", "message": message}
    return built(ChatGenerationChunk, told, {"text", "message"}, None)


def _read(pieces: list[ToolCallChunk], later: Collection[int]) -> tuple[list[ToolCall], list[InvalidToolCall]]:
    """Return what LangChain reads in pieces of calls: those it can complete to an object, and the others.

    A later piece begins no object, even if it looks like it, and is not tried: that takes longer than everything else, and
    they come by the thousand.
    """
    calls: list[ToolCall] = []
    invalid: list[InvalidToolCall] = []
    for at, piece in enumerate(pieces):
        text = piece["args"] or ""
        arguments = None if text and at in later else _completed(text)
        if arguments is None:
            invalid.append(invalid_tool_call(name=piece["name"], args=piece["args"], id=piece["id"], error=None))
        else:
            calls.append(tool_call(name=piece["name"] or "", args=arguments, id=piece["id"]))
    return calls, invalid


def _completed(text: str) -> dict[str, Any] | None:
    """Return the object that LangChain makes of the first piece of arguments."""
    if not text:
        return {}
    if not text.lstrip().startswith("{"):
        return None
    if len(text) > LONGEST_COMPLETED:
        return parse_arguments(text)  # without recursion
    try:
        return parse_partial_json(text)
    except ValueError:
        return None


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


class Chunks:
    """The chunks of one streamed answer. What belongs on exactly one of them is kept for the last."""

    def __init__(self) -> None:
        self._ending = Ending()
        self._calls: dict[int, InvalidToolCall] = {}

    def of(self, delta: Delta) -> ChatGenerationChunk | None:
        """Return the chunk of a delta, `None` if it holds nothing to show yet. Choices beyond the first are left out."""
        if delta.index:
            return None
        self._ending.add(delta)
        if not (delta.tool_calls or delta.text or delta.reasoning or delta.logprobs or delta.progress):
            return None
        calls: list[ToolCallChunk] = []
        later: set[int] = set()
        for at, piece in enumerate(delta.tool_calls):
            if self._has_begun(piece.index):
                later.add(at)
            calls.append(self._call(piece))
        metadata = _beside(delta) if delta.logprobs or delta.progress else None
        return chunk(delta.text, reasoning=delta.reasoning, calls=calls, later=later, metadata=metadata)

    def last(self) -> ChatGenerationChunk:
        """Return the last chunk, with all that is said once."""
        reply = self._ending.reply()
        metadata = response_metadata(reply)
        if invalid := [call for call in self._calls.values() if call["error"] is not None]:
            metadata["invalid_tool_calls"] = invalid
        made = chunk(metadata=metadata, usage=usage_metadata(reply.usage), last=True)
        if reply.refusal:
            made.message.additional_kwargs["refusal"] = reply.refusal
        return made

    def broken(self) -> ChatGenerationChunk | None:
        """Return what makes calls at which the answer broke off ones that can't be run, `None` if there are none.

        LangChain adds up what came before an error too, and completes it: 100,000 characters that are no JSON take minutes.
        """
        texts = {at: call["args"] or "" for at, call in self._calls.items()}
        calls = [
            tool_call_chunk(name=None, args=unparsable(text), id=None, index=at)
            for at, text in texts.items()
            if not text.strip() or parse_arguments(text) is None
        ]
        return chunk(calls=calls) if calls else None

    def _has_begun(self, index: int) -> bool:
        came = self._calls[index]["args"] if index in self._calls else None
        return bool(came) and not came.isspace()

    def _call(self, piece: ToolCallDelta) -> ToolCallChunk:
        call = self._calls.get(piece.index)
        if call is None:
            call = self._calls[piece.index] = invalid_tool_call(name=piece.name, args="", id=piece.id)
        self._ending.repair(call["id"], piece)
        arguments = piece.arguments
        call["args"] = so_far = (call["args"] or "") + arguments
        if piece.error is not None:
            call["error"] = piece.error
            arguments += unparsable(so_far)
        return tool_call_chunk(name=piece.name, args=arguments, id=piece.id, index=piece.index)


def _beside(delta: Delta) -> dict[str, Any]:
    """Return what a chunk says beside its words. Progress is a list, so that chunks which are added up keep all of it."""
    said: dict[str, Any] = {"logprobs": {"content": list(delta.logprobs)}} if delta.logprobs else {}
    return {**said, "progress": [asdict(delta.progress)]} if delta.progress else said


def unparsable(text: str) -> str:
    """Return what to add to the arguments of a call that must not be run, so that LangChain can't complete them.

    It adds missing quotes and brackets to what it gets, even at the end, and would run `{"path": "/tmp/a", "re` with half
    of its arguments (langchain#39275). A bracket that closes what was never opened is the one thing it refuses: such a
    call lands in `invalid_tool_calls`, in any sum of the chunks. What really came, and why it is no call, is in the last
    chunk's `response_metadata["invalid_tool_calls"]`.
    """
    inside, escaped, opened = False, False, list[str]()
    for character in text:
        if inside:
            inside = character != '"' or escaped
            escaped = character == "\\" and not escaped
        elif character == '"':
            inside = True
        elif character in "{[":
            opened.append(character)
        elif character in "}]" and opened:
            opened.pop()
    closing = "}" if opened and opened[-1] == "[" else "]"
    return ("\\" if escaped else "") + ('"' if inside else "") + closing


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
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    return {name: cast("int", getattr(usage, name)) for name in names}


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
