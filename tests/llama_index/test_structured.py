"""Answers as pydantic objects, which the server enforces."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from itertools import pairwise
from typing import Literal

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.program.utils import FlexibleModel
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate
from llama_index.core.types import PydanticProgramMode
from llama_index.llms.vessel import Vessel
from pydantic import BaseModel, Field
from vessel_core.errors import InvalidOutput

from tests.llama_index.conformance.answers import COUNTS, answer, calls
from tests.llama_index.conformance.forms import STREAMED, WHOLE, asked, pieces, text_of
from tests.llama_index.conformance.looking import extra
from tests.llama_index.scripted import scripted, sent


class Place(BaseModel):
    """A place."""

    name: str
    kind: Literal["city", "river"]
    size: int = Field(ge=0, le=9)


class Trip(BaseModel):
    """A trip to places."""

    places: list[Place] = Field(min_length=1, max_length=2)
    by: Place


PROMPT = PromptTemplate("Invent a place in {country}.")


BY_ANSWER, BY_CALL = PydanticProgramMode.DEFAULT, PydanticProgramMode.FUNCTION


@pytest.mark.parametrize("mode", [BY_ANSWER, BY_CALL])
@pytest.mark.parametrize("output_cls", [Place, Trip])
async def test_an_object_comes_in_all_four_ways(
    llm: Vessel, output_cls: type[BaseModel], mode: PydanticProgramMode
) -> None:
    llm.pydantic_program_mode, llm.together = mode, False
    assert type(await asyncio.to_thread(llm.structured_predict, output_cls, PROMPT, country="Peru")) is output_cls
    assert type(await llm.astructured_predict(output_cls, PROMPT, country="Peru")) is output_cls
    streamed = await asyncio.to_thread(lambda: list(llm.stream_structured_predict(output_cls, PROMPT, country="Peru")))
    assert type(streamed[-1]) is output_cls
    assert len(streamed) > 1
    stream = await llm.astream_structured_predict(output_cls, PROMPT, country="Peru")
    assert [one async for one in stream][-1] == streamed[-1]


@pytest.mark.parametrize("mode", [BY_ANSWER, BY_CALL])
def test_a_streamed_object_fills_up_and_changes_with_each_step(llm: Vessel, mode: PydanticProgramMode) -> None:
    llm.pydantic_program_mode = mode
    dumps = [one.model_dump() for one in llm.stream_structured_predict(Place, PROMPT, country="Peru")]
    assert dumps[0] == {"name": None, "kind": None, "size": None}
    assert all(before != after for before, after in pairwise(dumps[:-1]))
    known = [sum(value is not None for value in dump.values()) for dump in dumps]
    assert known == sorted(known)
    assert known[-1] == 3


@pytest.mark.parametrize("mode", [BY_ANSWER, BY_CALL])
async def test_a_structured_llm_answers_with_json(llm: Vessel, mode: PydanticProgramMode) -> None:
    llm.pydantic_program_mode = mode
    structured = llm.as_structured_llm(Place)
    response = await structured.achat([ChatMessage("Invent a place.")])
    assert isinstance(response.raw, Place)
    assert Place.model_validate_json(response.message.content or "") == response.raw
    whole = await asyncio.to_thread(structured.complete, "Invent a place.")
    assert Place.model_validate_json(whole.text)
    *_, last = [chunk async for chunk in await structured.astream_chat([ChatMessage("Invent a place.")])]
    assert isinstance(last.raw, Place)


async def test_as_a_call_it_is_forced_and_behind_the_system_prompt_in_all_four_ways() -> None:
    """Core's own program forgets the one in streams, and the other in async."""
    with scripted(calls(("Place", {"name": "Oslo", "kind": "city", "size": 1}))) as (llm, server):
        llm.pydantic_program_mode, llm.system_prompt = BY_CALL, "Be brief."
        await asyncio.to_thread(llm.structured_predict, Place, PROMPT, country="Peru")
        await llm.astructured_predict(Place, PROMPT, country="Peru")
        assert await asyncio.to_thread(lambda: list(llm.stream_structured_predict(Place, PROMPT, country="Peru")))
        assert [one async for one in await llm.astream_structured_predict(Place, PROMPT, country="Peru")]
        for number in range(4):
            body = sent(server, number)
            assert body["tool_choice"] in ("required", {"type": "function", "function": {"name": "Place"}})
            assert [message["role"] for message in body["messages"]] == ["system", "user"]
            assert "response_format" not in body
        await llm.aclose()


OSLO = answer('{"name": "Os', 'lo", "kind": "city"', ', "size": 1}')
PREDICTED = ("structured_predict", "astructured_predict", "stream_structured_predict", "astream_structured_predict")


@pytest.mark.parametrize("form", PREDICTED)
def test_the_options_of_a_call_hold_in_all_four_ways(form: str) -> None:
    with scripted(OSLO) as (llm, server):
        pieces(llm, form, Place, PROMPT, {"max_tokens": 77}, country="Peru")
        assert sent(server)["max_tokens"] == 77


@pytest.mark.parametrize("form", [*WHOLE, *STREAMED])
def test_a_structured_llm_sends_its_options_behind_the_system_prompt_in_all_eight_forms(form: str) -> None:
    with scripted(OSLO, system_prompt="Be brief.") as (llm, server):
        structured = llm.as_structured_llm(Place)
        last = pieces(structured, form, asked(form, "A place."), max_tokens=77)[-1]
        asyncio.run(llm.aclose())
        assert (sent(server)["max_tokens"], sent(server)["response_format"]["type"]) == (77, "json_schema")
        assert [message["content"] for message in sent(server)["messages"]] == ["Be brief.", "A place."]
    assert Place.model_validate_json(text_of(last)) == last.raw == Place(name="Oslo", kind="city", size=1)


@pytest.mark.parametrize("form", STREAMED)
def test_a_streamed_structured_llm_tells_what_the_model_wrote_and_the_counts(form: str) -> None:
    with scripted(OSLO) as (llm, _):
        chunks = pieces(llm.as_structured_llm(Place), form, asked(form, "A place."))
        asyncio.run(llm.aclose())
    assert "".join(chunk.delta for chunk in chunks) == '{"name": "Oslo", "kind": "city", "size": 1}'
    assert isinstance(chunks[0].raw, FlexibleModel)
    assert extra(chunks[-1])["completion_tokens"] == COUNTS["completion_tokens"]


def test_a_fence_around_the_json_is_taken_off() -> None:
    fenced = answer('```json\n{"name": "Oslo", "kind": "city", "size": 1}\n```')
    with scripted(fenced) as (llm, _):
        assert llm.structured_predict(Place, PROMPT, country="Peru").name == "Oslo"
        assert type(list(llm.stream_structured_predict(Place, PROMPT, country="Peru"))[-1]) is Place


async def test_json_in_place_of_the_call_is_understood() -> None:
    with scripted(answer('{"name": "Oslo", ', '"kind": "city", "size": 1}')) as (llm, _):
        llm.pydantic_program_mode = BY_CALL
        oslo = Place(name="Oslo", kind="city", size=1)
        assert await llm.astructured_predict(Place, PROMPT, country="Peru") == oslo
        assert [one async for one in await llm.astream_structured_predict(Place, PROMPT, country="Peru")][-1] == oslo
        await llm.aclose()


@pytest.mark.parametrize("mode", [BY_ANSWER, BY_CALL])
def test_an_answer_that_was_cut_off_is_an_error_that_says_so(llm: Vessel, mode: PydanticProgramMode) -> None:
    llm.pydantic_program_mode = mode
    most = 4 if mode == BY_ANSWER else 16  # a call's name comes first
    with pytest.raises(InvalidOutput, match="max_tokens") as caught:
        llm.structured_predict(Place, PROMPT, llm_kwargs={"max_tokens": most}, country="Peru")
    assert caught.value.partial is not None
    assert caught.value.partial.text.startswith("{")
    with pytest.raises(ValueError, match="no Place"):
        list(llm.stream_structured_predict(Place, PROMPT, llm_kwargs={"max_tokens": most}, country="Peru"))


def test_a_prompt_of_several_messages_is_sent_whole(llm: Vessel) -> None:
    prompt = ChatPromptTemplate([ChatMessage("Be brief.", role="system"), ChatMessage("A place in {country}.")])
    made = llm.structured_predict(Place, prompt, country="Peru")  # pyright: ignore[reportArgumentType] - as core's own do
    assert made.kind in ("city", "river")


@pytest.mark.parametrize("mode", [BY_ANSWER, BY_CALL])
def test_a_decimal_is_a_number_and_no_text(mode: PydanticProgramMode) -> None:
    class Price(BaseModel):
        amount: Decimal = Field(ge=0)

    said = answer('{"amount": 12.10}') if mode == BY_ANSWER else calls(("Price", {"amount": 12.10}))
    with scripted(said) as (llm, server):
        llm.pydantic_program_mode = mode
        assert llm.structured_predict(Price, PromptTemplate("What is it?")).amount == Decimal("12.1")
        body = sent(server)
    by_call = mode == BY_CALL
    schema = body["tools"][0]["function"]["parameters"] if by_call else body["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["amount"] == {"type": "number", "minimum": 0, "title": "Amount"}
