"""Indexes, engines, ingestion and a vector store, all on real servers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import chromadb
import chromadb.config
import pytest
from llama_index import core
from llama_index.core import Document, Settings, StorageContext, VectorStoreIndex
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.chat_engine.types import ChatMode
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.tools import QueryEngineTool
from llama_index.embeddings.vessel import VesselEmbedding
from llama_index.llms.vessel import Vessel
from llama_index.postprocessor.vessel import VesselRerank
from llama_index.vector_stores.chroma import ChromaVectorStore  # pyright: ignore[reportMissingTypeStubs]
from vessel_core.local import LocalServer

pytestmark = pytest.mark.usefixtures("nothing_left_open")

DOCUMENTS = [
    Document(text="The harbour of Lisbon is full of yellow boats.", metadata={"source": "boats.md"}),
    Document(text="Bakers in Oslo bake their bread at four in the morning.", metadata={"source": "bread.md"}),
    Document(text="Swallows fly to Africa when the summer ends.", metadata={"source": "birds.md"}),
]
QUESTION = "When do bakers bake bread in Oslo?"

index_of: Any = cast("Any", VectorStoreIndex).from_documents


def memory_of(llm: Vessel) -> Any:
    """Return a memory; the default one leaves a database open."""
    return cast("Any", ChatMemoryBuffer).from_defaults(llm=llm)


def test_a_query_engine_finds_the_passage_and_answers(llm: Vessel, embedding: VesselEmbedding) -> None:
    engine = index_of(DOCUMENTS, embed_model=embedding).as_query_engine(llm=llm, similarity_top_k=1)
    response = engine.query(QUESTION)
    assert response.source_nodes[0].metadata["source"] == "bread.md"
    assert str(response)


async def test_a_query_engine_answers_without_blocking(llm: Vessel, embedding: VesselEmbedding) -> None:
    index = await asyncio.to_thread(index_of, DOCUMENTS, embed_model=embedding)
    response = await index.as_query_engine(llm=llm, similarity_top_k=1).aquery(QUESTION)
    assert response.source_nodes[0].metadata["source"] == "bread.md"
    streaming = index.as_query_engine(llm=llm, similarity_top_k=1, streaming=True)
    response = await streaming.aquery(QUESTION)
    pieces = [piece async for piece in response.async_response_gen()]
    assert len(pieces) > 1
    await asyncio.gather(llm.aclose(), embedding.aclose())


def test_a_streaming_query_engine_streams(llm: Vessel, embedding: VesselEmbedding) -> None:
    engine = index_of(DOCUMENTS, embed_model=embedding).as_query_engine(llm=llm, streaming=True)
    assert len(list(engine.query(QUESTION).response_gen)) > 1


def test_a_reranker_stands_behind_a_retriever(
    llm: Vessel, embedding: VesselEmbedding, rerank_server: LocalServer
) -> None:
    rerank = VesselRerank(backend="llamacpp", base_url=rerank_server.base_url, top_n=2)
    engine = index_of(DOCUMENTS, embed_model=embedding).as_query_engine(
        llm=llm, similarity_top_k=3, node_postprocessors=[rerank]
    )
    response = engine.query(QUESTION)
    assert len(response.source_nodes) == 2
    assert str(response)
    rerank.close()


@pytest.mark.parametrize("mode", [ChatMode.CONDENSE_PLUS_CONTEXT, ChatMode.CONTEXT, ChatMode.CONDENSE_QUESTION])
def test_a_chat_engine_keeps_the_conversation(llm: Vessel, embedding: VesselEmbedding, mode: ChatMode) -> None:
    engine = index_of(DOCUMENTS, embed_model=embedding).as_chat_engine(
        chat_mode=mode, llm=llm, similarity_top_k=1, memory=memory_of(llm)
    )
    assert str(engine.chat(QUESTION))
    response = engine.stream_chat("And where do boats lie?")
    assert "".join(response.response_gen)
    assert len(engine.chat_history) == 4


async def test_a_chat_engine_streams_in_async(llm: Vessel, embedding: VesselEmbedding) -> None:
    index = await asyncio.to_thread(index_of, DOCUMENTS, embed_model=embedding)
    engine = index.as_chat_engine(chat_mode=ChatMode.CONDENSE_PLUS_CONTEXT, llm=llm, memory=memory_of(llm))
    response = await engine.astream_chat(QUESTION)
    assert [piece async for piece in response.async_response_gen()]
    assert [message.role for message in engine.chat_history] == ["user", "assistant"]
    await asyncio.gather(llm.aclose(), embedding.aclose())


async def test_an_agentic_chat_engine_uses_the_index(llm: Vessel, embedding: VesselEmbedding) -> None:
    index = await asyncio.to_thread(index_of, DOCUMENTS, embed_model=embedding)
    engine = index.as_query_engine(llm=llm)
    tool = QueryEngineTool.from_defaults(engine, name="facts", description="Knows of boats and bread.")
    done = await llm.apredict_and_call([tool], QUESTION)
    assert done.sources[0].tool_name == "facts"
    await asyncio.gather(llm.aclose(), embedding.aclose())


def test_an_ingestion_pipeline_splits_and_embeds_in_other_processes(
    embedding: VesselEmbedding, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The splitter's tokenizer is made anew in each process, and would be fetched from the internet.
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(Path(str(core.__file__)).parent / "_static/tiktoken_cache"))
    splitter = SentenceSplitter(chunk_size=64, chunk_overlap=0)
    pipeline = IngestionPipeline(transformations=[splitter, embedding], disable_cache=True)
    together = pipeline.run(documents=DOCUMENTS, num_workers=2)
    alone = pipeline.run(documents=DOCUMENTS)
    assert len(alone) == len(together) == 3
    assert {node.get_content() for node in together} == {document.get_content() for document in DOCUMENTS}
    assert all(len(node.embedding or ()) == len(alone[0].embedding or ()) > 100 for node in together)


def test_a_real_vector_store_holds_what_was_embedded(llm: Vessel, embedding: VesselEmbedding, tmp_path: Path) -> None:
    store = chromadb.PersistentClient(path=str(tmp_path), settings=chromadb.config.Settings(anonymized_telemetry=False))
    collection = store.get_or_create_collection("facts", metadata={"hnsw:space": "cosine"})
    vectors: Any = ChromaVectorStore(chroma_collection=collection)
    index_of(
        DOCUMENTS,
        storage_context=StorageContext.from_defaults(vector_store=vectors),
        embed_model=embedding,
    )
    assert collection.count() == 3
    again: Any = cast("Any", VectorStoreIndex).from_vector_store(vectors, embed_model=embedding)
    found = again.as_retriever(similarity_top_k=1).retrieve(QUESTION)
    assert found[0].metadata["source"] == "bread.md"
    response = again.as_query_engine(llm=llm, similarity_top_k=1).query("Where do swallows fly?")
    assert response.source_nodes[0].metadata["source"] == "birds.md"
    assert str(response)


def test_a_long_text_is_packed_into_the_learnt_context_window(
    small_context_server: LocalServer, embedding: VesselEmbedding
) -> None:
    llm = Vessel(backend="llamacpp", base_url=small_context_server.base_url, max_tokens=64).connect()
    text = "Bakers in Oslo bake their bread at four in the morning. " * 150
    index = index_of([Document(text=text)], embed_model=embedding, transformations=[SentenceSplitter(chunk_size=200)])
    engine = index.as_query_engine(llm=llm, similarity_top_k=6, response_mode="compact")
    assert str(engine.query(QUESTION))
    llm.close()


def test_the_settings_of_llama_index_take_them(llm: Vessel, embedding: VesselEmbedding) -> None:
    settings: Any = Settings
    before = (settings._llm, settings._embed_model)
    settings.llm, settings.embed_model = llm, embedding
    try:
        assert str(index_of(DOCUMENTS).as_query_engine().query(QUESTION))
        assert settings.llm.chat([ChatMessage("Hello")]).message.content
    finally:
        settings._llm, settings._embed_model = before
