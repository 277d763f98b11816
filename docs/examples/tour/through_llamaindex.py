"""The steps through LlamaIndex."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

from llama_index.core import PromptTemplate, VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent, ToolCallResult
from llama_index.core.base.llms.types import ThinkingBlock
from llama_index.core.llms import ChatMessage, ChatResponse, ImageBlock, MessageRole, TextBlock
from llama_index.core.schema import TextNode
from llama_index.embeddings.vessel import VesselEmbedding
from llama_index.llms.vessel import Vessel

from tour import checks, material
from tour.places import Places
from tour.report import Report, Step

__all__ = ["ThroughLlamaIndex"]


class ThroughLlamaIndex:
    """What is shown with `Vessel` and `VesselEmbedding`."""

    name = "LlamaIndex"

    def __init__(self, places: Places, report: Report) -> None:
        self.places = places
        self.report = report
        self.llm = Vessel(**places.chat.options)

    def steps(self) -> list[Step]:
        """Return everything that is shown, in order."""
        return [
            Step("streamed chat", self.streamed_chat),
            Step("answer from these docs", self.retrieval),
            Step("agent with a tool", self.agent),
            Step("question about a picture", self.picture),
            Step("structured output", self.structured_output),
            Step("reasoning kept apart", self.reasoning),
        ]

    def streamed_chat(self) -> str:
        """Stream an answer."""
        self.report.note("question", material.GREETING)
        arrivals: list[float] = []
        started = time.perf_counter()

        def texts() -> Iterator[str]:
            for response in self.llm.stream_chat([ChatMessage(material.GREETING)]):
                if response.delta:
                    arrivals.append(time.perf_counter() - started)
                    yield response.delta

        checks.answered(self.report.pieces("answer", texts()))
        return f"{checks.streamed(arrivals)}, from {self.llm.metadata.model_name}"

    def retrieval(self) -> str:
        """Find passages of these docs by their embeddings, and answer from them."""
        self.places.need("embeddings")
        self.report.note("question", material.FACT_QUESTION)
        nodes = [TextNode(text=one.text, metadata={"source": one.source}) for one in material.passages()]
        place = self.places.embedding
        embedding = VesselEmbedding(
            backend=place.server.backend, base_url=place.server.base_url, model_name=place.model.id
        )
        index: Any = VectorStoreIndex(nodes, embed_model=embedding)
        response = index.as_query_engine(llm=self.llm, similarity_top_k=3).query(material.FACT_QUESTION)
        for found in response.source_nodes:
            source, text = found.metadata["source"], found.get_content()
            self.report.note(f"{found.score or 0:.2f}", f"{source}: {checks.short(text)}")
        checks.fact_found(self.places, [found.get_content() for found in response.source_nodes])
        self.report.note("answer", str(response))
        checks.answered(str(response))
        return f"the best 3 of {len(nodes)} passages by {place.model.id}"

    def agent(self) -> str:
        """Let an agent call a tool and answer with its result."""
        self.places.need("tools")
        weather = material.Weather()
        self.report.note("question", material.WEATHER_QUESTION)
        results, answer = asyncio.run(self._turn(weather))
        for city, result in zip(weather.asked, results, strict=False):
            self.report.note("tool", f"get_weather({city!r}) returned {result!r}")
        self.report.note("answer", answer)
        return checks.tool_used(weather, results, answer)

    async def _turn(self, weather: material.Weather) -> tuple[list[str], str]:
        agent: Any = FunctionAgent(tools=[weather.get_weather], llm=self.llm)
        running = agent.run(user_msg=material.WEATHER_QUESTION)
        events = running.stream_events()
        results = [str(event.tool_output) async for event in events if isinstance(event, ToolCallResult)]
        return results, str(await running)

    def picture(self) -> str:
        """Ask about a picture."""
        self.places.need("vision")
        self.report.note("picture", " a blue square ", "white on blue")
        blocks = [TextBlock(text=material.PICTURE_QUESTION), ImageBlock(image=material.square("blue"))]
        seeing = Vessel(**self.places.seeing.options)
        answer = seeing.chat([ChatMessage(role=MessageRole.USER, blocks=blocks)]).message.content or ""
        self.report.note("answer", answer)
        return checks.right_colour(answer, "blue")

    def structured_output(self) -> str:
        """Get an object of a pydantic class."""
        self.places.need("structured_output")
        self.report.note("question", material.TRIP_REQUEST)
        trip = self.llm.structured_predict(material.Trip, PromptTemplate("{request}"), request=material.TRIP_REQUEST)
        self.report.note("object", repr(trip))
        return checks.valid_trip(trip)

    def reasoning(self) -> str:
        """Get what the model thought apart from what it answers."""
        self.places.need("reasoning")
        self.report.note("question", material.PUZZLE)
        response = Vessel(**self.places.thinking.options, reasoning=True).chat([ChatMessage(material.PUZZLE)])
        return checks.kept_apart(self.report, self.places, _thought(response), response.message.content or "")


def _thought(response: ChatResponse) -> str:
    return "".join(block.content or "" for block in response.message.blocks if isinstance(block, ThinkingBlock))
