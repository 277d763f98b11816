"""Rows on asking: tools, structured answers, pictures."""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from langchain_core.messages import HumanMessage
from pydantic import BaseModel

from tests.contract.measuring import NO, PARTLY, YES, Bench, Rows, parts
from tests.contract.stand import SERVED_V1, Said, answered
from tests.fake_server import Request, Response
from tests.langchain.media import picture
from tests.langchain.scripted import ending, piece

ASKING = Rows()


def weather(city: str) -> str:
    """Tell the weather in a city."""
    return city


def clock(zone: str) -> str:
    """Tell the time in a zone."""
    return zone


class Trip(BaseModel):
    """A trip to a city."""

    city: str


# ------------------------------------------------------------------------------------------------------------- tools


def calls_of(message: Any) -> list[tuple[str, Any]]:
    return [(call["name"], call["args"]) for call in message.tool_calls]


@ASKING.add("Tools", "pieces of streamed calls without an index come together", SERVED_V1)
def no_index(bench: Bench) -> bool:
    head = {"id": "c0", "type": "function", "function": {"name": "weather", "arguments": '{"city": '}}
    stream = piece({"tool_calls": [head]}) + piece({"tool_calls": [{"function": {"arguments": '"Lisbon"}'}}]})
    with bench.at(Response.stream(stream + ending("tool_calls"))) as (chat, _):
        chunks = list(chat.stream("Hi"))
    message = chunks[0].__add__(chunks[1:])
    return calls_of(message) == [("weather", {"city": "Lisbon"})] and not message.invalid_tool_calls


@ASKING.add("Tools", "a call that was cut off is not run: invoked, streamed", SERVED_V1)
def cut_call(bench: Bench) -> str:
    with bench.at(Said((), calls=(("weather", '{"city": "Lis", "co'),), finish="length")) as (chat, _):
        chunks = list(chat.stream("Hi"))
        streamed = chunks[0].__add__(chunks[1:])
        return parts(not calls_of(chat.invoke("Hi")), not calls_of(streamed))


@ASKING.add("Tools", "arguments that come as an object are taken", SERVED_V1)
def object_arguments(bench: Bench) -> bool:
    said = cast("Any", (("weather", {"city": "Lisbon"}),))

    def play(request: Request) -> Response:
        if not request.json().get("stream"):
            return answered(bench.kind, Said((), calls=said, finish="tool_calls"), request)
        call = {"index": 0, "id": "c0", "function": {"name": "weather", "arguments": {"city": "Lisbon"}}}
        return Response.stream(piece({"tool_calls": [call]}) + ending("tool_calls"))

    with bench.at(play) as (chat, _):
        return calls_of(chat.invoke("Hi")) == [("weather", {"city": "Lisbon"})]


@ASKING.add("Tools", "a call without an id gets one")
def call_id(bench: Bench) -> bool:
    stream = piece({"tool_calls": [{"index": 0, "function": {"name": "weather", "arguments": "{}"}}]})
    said = Said((), calls=(("weather", "{}"),))
    answer: Any = said if bench.kind == "ollama" else Response.stream(stream + ending("tool_calls"))
    with bench.at(answer) as (chat, _):
        chunks = list(chat.stream("Hi"))
    return bool(chunks[0].__add__(chunks[1:]).tool_calls[0]["id"])


@ASKING.add("Tools", "a tool that is named is forced in a way that the servers obey")
def forced(bench: Bench) -> str:
    with bench.at(lambda request: bound(bench, request)) as (chat, server):
        message = chat.bind_tools([weather, clock], tool_choice="clock").invoke("Hi")
        body = bench.body(server)
    if bench.kind == "ollama":  # it knows no `tool_choice`: only a grammar makes it call
        return YES if "zone" in str(body.get("format")) and calls_of(message)[0][0] == "clock" else NO
    alone = [tool["function"]["name"] for tool in body["tools"]] == ["clock"] and body["tool_choice"] == "required"
    return YES if alone else PARTLY if "clock" in str(body.get("tool_choice")) else NO


@ASKING.add("Tools", "`parallel_tool_calls=False` leaves one call at most")
def not_parallel(bench: Bench) -> str:
    said = Said((), calls=(("weather", '{"city": "a"}'), ("clock", '{"zone": "b"}')), finish="tool_calls")
    with bench.at(said) as (chat, server):
        message = chat.bind_tools([weather, clock], parallel_tool_calls=False).invoke("Hi")
        asked = bench.body(server).get("parallel_tool_calls") is False
    return YES if len(message.tool_calls) == 1 else PARTLY if asked else NO


@ASKING.add("Tools", "`strict` goes along with a tool", SERVED_V1)
def strict_tools(bench: Bench) -> bool:
    with bench.at(Said()) as (chat, server):
        chat.bind_tools([weather], strict=True).invoke("Hi")
        return bench.body(server)["tools"][0]["function"].get("strict") is True


@ASKING.add("Tools", "no tools are no field, not an empty list")
def no_tools(bench: Bench) -> bool:
    with bench.at(Said()) as (chat, server):
        chat.bind_tools([]).invoke("Hi")
        return "tools" not in bench.body(server)


# ----------------------------------------------------------------------------------------------------------- structure


def bound(bench: Bench, request: Request) -> Response:
    """Answer as a server that gives JSON of a schema, or a call, where it is made to, and else what it likes."""
    body = request.json()
    form: Mapping[str, Any] = body.get("response_format") or {}
    made = '{"zone": "UTC"}' if "clock" in json.dumps(body) else '{"city": "Lisbon"}'
    if body.get("tools") and body.get("tool_choice") not in (None, "auto"):
        said = Said((), calls=((body["tools"][0]["function"]["name"], made),), finish="tool_calls")
    elif form.get("type") == "json_schema" or "schema" in form or body.get("format") not in (None, "", "json"):
        said = Said((made,))
    else:
        said = Said(('{"town": "Lisbon"}' if form or body.get("format") else "We go to Lisbon.",))
    return answered(bench.kind, said, request)


@ASKING.add("Structured answers", "`json_schema`, `function_calling` and `json_mode` all bind the answer to the schema")
def structured(bench: Bench) -> str:
    held: list[bool] = []
    with bench.at(lambda request: bound(bench, request)) as (chat, _):
        for method in ("json_schema", "function_calling", "json_mode"):
            try:
                held.append(chat.with_structured_output(Trip, method=method).invoke("Where to?") == Trip(city="Lisbon"))
            except Exception:
                held.append(False)
    return parts(*held)


@ASKING.add("Structured answers", "an object grows while it streams: of a JSON schema, of a pydantic class")
def structured_stream(bench: Bench) -> str:
    held: list[bool] = []
    with bench.at(Said(('{"city": "Lis', 'bon"}'))) as (chat, _):
        for schema, last in ((Trip.model_json_schema(), {"city": "Lisbon"}), (Trip, Trip(city="Lisbon"))):
            try:
                grown = list(chat.with_structured_output(schema).stream("Where to?"))
                held.append(len(grown) > 1 and grown[-1] == last)
            except Exception:
                held.append(False)
    return parts(*held)


@ASKING.add("Structured answers", "agents are told that the server can (`profile`)")
def profile_structured(bench: Bench) -> bool:
    with bench.at(Said()) as (chat, _):
        return chat.profile["structured_output"] is True


@ASKING.add("Structured answers", "a grammar (GBNF) is an option", SERVED_V1)
def grammar(bench: Bench) -> bool:
    with bench.at(Said(), grammar='root ::= "yes"') as (chat, server):
        chat.invoke("Hi")
        return bench.body(server).get("grammar") == 'root ::= "yes"'


# ------------------------------------------------------------------------------------------------------------ pictures


def shows(bench: Bench, block: Mapping[str, Any], wanted: bytes) -> bool:
    """Tell whether a picture in a block reaches the server as base64, in the form that it takes."""
    with bench.at(Said()) as (chat, server):
        try:
            chat.invoke([HumanMessage(content=[{"type": "text", "text": "What is it?"}, cast("Any", dict(block))])])
        except Exception:
            return False
        message = bench.body(server)["messages"][0]
        images = (
            message.get("images") or () if bench.kind == "ollama" else [_url_of(part) for part in message["content"]]
        )
        return any(base64.b64encode(wanted).decode() in str(each) for each in images)


def _url_of(part: Mapping[str, Any]) -> Any:
    """Return the URL of a picture as llama.cpp takes it: inside an object."""
    held = part.get("image_url")
    return held.get("url") if isinstance(held, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


@ASKING.add("Pictures and files", "pictures as base64, a data URL, bytes and a path object")
def pictures(bench: Bench) -> str:
    png = picture("red")
    text = base64.b64encode(png).decode()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "red.png")
        path.write_bytes(png)
        blocks: list[dict[str, Any]] = [
            {"type": "image", "base64": text, "mime_type": "image/png"},
            {"type": "image_url", "image_url": f"data:image/png;base64,{text}"},
            {"type": "image", "image": png},
            {"type": "image", "image": path},
        ]
        return parts(*(shows(bench, block, png) for block in blocks))


@ASKING.add("Pictures and files", "a picture's URL goes to a server that fetches it", SERVED_V1)
def picture_url(bench: Bench) -> bool:
    url = "https://example.org/cat.png"
    with bench.at(Said()) as (chat, server):
        chat.invoke([HumanMessage(content=[{"type": "image", "url": url}])])
        [part] = bench.body(server)["messages"][0]["content"]
        return part["image_url"]["url"] == url


@ASKING.add("Pictures and files", "a text in a message is never opened as a file")
def no_file_is_read(bench: Bench) -> bool:
    png = picture("green")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "secret.png")
        path.write_bytes(png)
        blocks = [{"type": "image_url", "image_url": str(path)}, {"type": "image_url", "image_url": {"url": str(path)}}]
        return not any(shows(bench, block, png) for block in blocks)


@ASKING.add("Pictures and files", "MP3 is called `mp3`, as the servers want it", SERVED_V1)
def mp3(bench: Bench) -> bool:
    sound = base64.b64encode(b"ID3\x04" + bytes(64)).decode()
    block: Any = {"type": "audio", "base64": sound, "mime_type": "audio/mpeg"}
    with bench.at(Said()) as (chat, server):
        chat.invoke([HumanMessage(content=[block])])
        return bench.body(server)["messages"][0]["content"][0]["input_audio"]["format"] == "mp3"


@ASKING.add("Pictures and files", "files of plain text")
def text_files(bench: Bench) -> bool:
    block: Any = {"type": "text-plain", "text": "Bread is made of flour.", "mime_type": "text/plain"}
    with bench.at(Said()) as (chat, server):
        chat.invoke([HumanMessage(content=[{"type": "text", "text": "Read:"}, block])])
        content = bench.body(server)["messages"][0]["content"]
        texts = (
            [content] if isinstance(content, str) else [part.get("text") for part in content if part["type"] == "text"]
        )
        return "Bread is made of flour." in str(texts)


@ASKING.add("Pictures and files", "a video, which no server takes, is refused before anything is sent")
def video(bench: Bench) -> bool:
    block: Any = {"type": "video", "base64": "AAAA", "mime_type": "video/mp4"}
    with bench.at(Said()) as (chat, server):
        try:
            chat.invoke([HumanMessage(content=[block])])
        except Exception:
            return server.asked(bench.path) == []
    return False
