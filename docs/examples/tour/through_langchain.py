"""The steps through LangChain."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, cast

from langchain.agents import create_agent  # pyright: ignore[reportUnknownVariableType] - its type has gaps
from langchain_core.documents import Document
from langchain_core.messages import AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_vessel import ChatVessel, VesselEmbeddings

from tour import checks, material
from tour.places import Places
from tour.report import Report, Step, StepFailed

__all__ = ["ThroughLangChain"]

PROMPT = ChatPromptTemplate.from_messages(
    [("system", "Answer from these passages:\n\n{passages}"), ("human", "{question}")]
)


class ThroughLangChain:
    """What is shown with `ChatVessel` and `VesselEmbeddings`."""

    name = "LangChain"

    def __init__(self, places: Places, report: Report) -> None:
        self.places = places
        self.report = report
        self.chat = ChatVessel(**places.chat.options)

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
        """Stream an answer, with its usage at the end."""
        self.report.note("question", material.GREETING)
        chunks: list[AIMessageChunk] = []
        arrivals: list[float] = []
        started = time.perf_counter()

        def texts() -> Iterator[str]:
            for chunk in self.chat.stream(material.GREETING):
                chunks.append(chunk)
                if chunk.text:
                    arrivals.append(time.perf_counter() - started)
                    yield chunk.text

        checks.answered(self.report.pieces("answer", texts()))
        whole = sum(chunks[1:], chunks[0])
        if whole.usage_metadata is None:
            raise StepFailed("The answer came without its usage.")
        model, tokens = whole.response_metadata.get("model_name"), whole.usage_metadata["output_tokens"]
        return f"{checks.streamed(arrivals)}, {tokens} tokens from {model}"

    def retrieval(self) -> str:
        """Find passages of these docs by their embeddings, and answer from them."""
        self.places.need("embeddings")
        self.report.note("question", material.FACT_QUESTION)
        store = InMemoryVectorStore(VesselEmbeddings(**self.places.embedding.options))
        passages = [Document(one.text, metadata={"source": one.source}) for one in material.passages()]
        store.add_documents(passages)
        nearest = store.similarity_search_with_score(material.FACT_QUESTION, k=3)
        for document, score in nearest:
            source = document.metadata["source"]
            self.report.note(f"{score:.2f}", f"{source}: {checks.short(document.page_content)}")
        texts = [document.page_content for document, _ in nearest]
        checks.fact_found(self.places, texts)
        answer = (PROMPT | self.chat).invoke({"passages": "\n\n".join(texts), "question": material.FACT_QUESTION})
        self.report.note("answer", answer.text)
        checks.answered(answer.text)
        return f"the best 3 of {len(passages)} passages by {self.places.embedding.model.id}"

    def agent(self) -> str:
        """Let an agent call a tool and answer with its result."""
        self.places.need("tools")
        weather = material.Weather()
        self.report.note("question", material.WEATHER_QUESTION)
        agent = cast("Any", create_agent(self.chat, [weather.get_weather]))
        turn = agent.invoke({"messages": [HumanMessage(material.WEATHER_QUESTION)]})
        results = [message.text for message in turn["messages"] if isinstance(message, ToolMessage)]
        for city, result in zip(weather.asked, results, strict=False):
            self.report.note("tool", f"get_weather({city!r}) returned {result!r}")
        answer = turn["messages"][-1].text
        self.report.note("answer", answer)
        return checks.tool_used(weather, results, answer)

    def picture(self) -> str:
        """Ask about a picture."""
        self.places.need("vision")
        self.report.note("picture", " a green square ", "white on green")
        picture = {"type": "image", "base64": material.in_base64(material.square("green")), "mime_type": "image/png"}
        text = {"type": "text", "text": material.PICTURE_QUESTION}
        answer = ChatVessel(**self.places.seeing.options).invoke([HumanMessage(content=[text, picture])]).text
        self.report.note("answer", answer)
        return checks.right_colour(answer, "green")

    def structured_output(self) -> str:
        """Get an object of a pydantic class."""
        self.places.need("structured_output")
        self.report.note("question", material.TRIP_REQUEST)
        trip = self.chat.with_structured_output(material.Trip).invoke(material.TRIP_REQUEST)
        self.report.note("object", repr(trip))
        return checks.valid_trip(trip)

    def reasoning(self) -> str:
        """Get what the model thought apart from what it answers."""
        self.places.need("reasoning")
        self.report.note("question", material.PUZZLE)
        message = ChatVessel(**self.places.thinking.options, reasoning=True).invoke(material.PUZZLE)
        thoughts = [block.get("reasoning", "") for block in message.content_blocks if block["type"] == "reasoning"]
        return checks.kept_apart(self.report, self.places, "".join(thoughts), message.text)
