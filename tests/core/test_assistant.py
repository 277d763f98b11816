"""The trained demo model, as it is shipped: held to its aims on cases that it never saw, and used as programs do."""

from __future__ import annotations

import json
import math
from typing import Any

import httpx
import pytest
from vessel_core import Client, LocalServer, Message, Tool

from demo_model.corpus import case
from demo_model.dialogue import text_of
from demo_model.draw import Draw, held_out
from demo_model.evaluate import AIMS, CARD, MEANING, SHIPPED, Figure, evaluate, request
from tests.docs.test_pages import DOCS

#: How many cases of each generated kind are asked here; `make eval-demo-model` asks more.
COUNT = 100


def tool(name: str, description: str, parameters: dict[str, Any]) -> Tool:
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = tool("get_weather", "Tell the weather in a city.", CITY)


@pytest.fixture(scope="module")
def figures(assistant_server: LocalServer, embedding_server: LocalServer) -> dict[str, Figure]:
    return {figure.kind: figure for figure in evaluate(assistant_server, embedding_server, count=COUNT, kinds=AIMS)}


@pytest.fixture
def client(assistant_server: LocalServer) -> Client:
    return Client("llamacpp", base_url=assistant_server.base_url)


@pytest.mark.parametrize("kind", AIMS)
def test_the_card_says_that_an_aim_is_met(kind: str) -> None:
    (row,) = [line for line in CARD.read_text(encoding="utf-8").splitlines() if line.startswith(f"| {MEANING[kind]} |")]
    right, asked = map(int, row.split(" | ")[1:3])
    assert right >= AIMS[kind] * asked
    assert row.endswith(f"| {AIMS[kind]:.0%} |")


@pytest.mark.parametrize("kind", AIMS)
def test_a_sample_is_as_good_as_the_card_says(figures: dict[str, Figure], kind: str) -> None:
    figure, aim = figures[kind], AIMS[kind]
    # Cases that are drawn: so few may be two standard errors below what a thousand are.
    chance = 2 * math.sqrt(aim * (1 - aim) * COUNT) if figure.asked == COUNT else 0
    assert figure.right >= int(aim * figure.asked - chance), f"{figure}: {figure.wrong}"


def test_the_prompts_are_those_it_was_trained_on(assistant_server: LocalServer) -> None:
    draw = Draw("prompts")
    for made in (case(draw) for _ in range(40)):
        body = request(made) | {"add_generation_prompt": True}
        prompt: str = httpx.post(f"{assistant_server.base_url}/apply-template", json=body).json()["prompt"]
        assert text_of(made).startswith(prompt)
        assert prompt.endswith("<|im_start|>assistant\n")


def test_training_and_evaluation_share_no_word_that_was_drawn() -> None:
    words = ["Lisbon", "Oslo", "Anna", "garden"]
    seen = {Draw(at).one(words) for at in range(50)}
    assert not any(map(held_out, seen))


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"type": "object", "properties": {"at": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None}}},
        {"type": "object", "properties": {"near": {"type": "object", "properties": {"x": {"type": "number"}}}}},
        {"type": "object", "properties": {"size": {"enum": [1, 2]}, "any": {}, "some": {"type": ["string", "null"]}}},
    ],
)
def test_any_schema_of_a_tool_can_be_shown_to_it(client: Client, parameters: dict[str, Any]) -> None:
    reply = client.chat([{"role": "user", "content": "Hello"}], tools=[tool("look", "Look.", parameters)])
    assert reply.text == "Hello! How can I help you with Vessel?"


def test_a_tool_is_called_with_what_was_asked_and_its_reply_is_told(client: Client) -> None:
    asked: Message = {"role": "user", "content": "What is the weather in Lisbon? Use the tool."}
    reply = client.chat([asked], tools=[WEATHER])
    (call,) = reply.tool_calls
    assert call["function"]["name"] == "get_weather"
    assert json.loads(call["function"]["arguments"]) == {"city": "Lisbon"}
    result: Message = {"role": "tool", "tool_call_id": call["id"], "content": "It is sunny in Lisbon, 21 degrees."}
    assert client.chat([asked, reply.message(), result], tools=[WEATHER]).text == "It is sunny in Lisbon, 21 degrees."


def test_the_model_card_is_shipped() -> None:
    assert CARD in DOCS
    assert SHIPPED.read_text(encoding="utf-8") == CARD.read_text(encoding="utf-8")
