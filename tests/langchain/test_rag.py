"""Retrieval on real servers: Chroma with our embeddings, our reranker after it, our model's answer at the end."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from langchain_chroma import Chroma
from langchain_core.documents import Document
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough
from langchain_vessel import ChatVessel, VesselEmbeddings, VesselRerank
from vessel_core.local import LocalServer

from tests.fake_server import FakeServer, Response, llamacpp_server
from tests.langchain.scripted import answer

DOCUMENTS = [
    Document("Cats sleep most of the day and hunt at night.", metadata={"about": "cats"}),
    Document("The train to the coast leaves at noon.", metadata={"about": "trains"}),
    Document("A baker kneads dough before the sun rises.", metadata={"about": "bread"}),
    Document("Rain falls in autumn and the rivers rise.", metadata={"about": "rain"}),
]


def joined(documents: list[Document]) -> str:
    return "\n".join(document.page_content for document in documents)


@pytest.fixture
def store(embedding_server: LocalServer, tmp_path: Path) -> Any:
    chroma: Any = Chroma
    return chroma.from_documents(
        DOCUMENTS, VesselEmbeddings(base_url=embedding_server.base_url), persist_directory=str(tmp_path)
    )


def test_chroma_finds_what_shares_the_questions_words(store: Any) -> None:
    [found] = store.similarity_search("When does the train leave?", k=1)
    assert found.metadata["about"] == "trains"


async def test_chroma_finds_it_async_too(store: Any) -> None:
    [found] = await store.asimilarity_search("What do cats do at night?", k=1)
    assert found.metadata["about"] == "cats"


def test_an_answer_is_made_of_what_was_found(store: Any) -> None:
    prompt = ChatPromptTemplate.from_template("Answer from this:\n{context}\n\n{question}")
    retriever = store.as_retriever(search_kwargs={"k": 1})
    with llamacpp_server(answer("At ", "noon.")) as server:
        question: RunnablePassthrough[str] = RunnablePassthrough()
        chain = {"context": retriever | joined, "question": question} | prompt | ChatVessel(base_url=server.base_url)
        assert chain.invoke("When does the train leave?").text == "At noon."
        [message] = server.requests[-1].json()["messages"]
        assert "leaves at noon" in message["content"]


def test_the_whole_chain_runs_on_real_servers(store: Any, chat_server: LocalServer, rerank_server: LocalServer) -> None:
    reranker = VesselRerank(base_url=rerank_server.base_url, top_n=1)
    question = "When does the train leave?"
    found = reranker.compress_documents(store.similarity_search(question, k=3), question)
    assert [document.metadata["about"] for document in found] == ["trains"]
    chat = ChatVessel(base_url=chat_server.base_url, max_tokens=60)
    assert chat.invoke(f"{joined(found)}\n\n{question}").text


def test_the_reranker_puts_the_best_first_and_says_how_good(rerank_server: LocalServer) -> None:
    reranker = VesselRerank(base_url=rerank_server.base_url, top_n=2)
    ranked = reranker.compress_documents(DOCUMENTS, "What do cats do at night?")
    assert ranked[0].metadata["about"] == "cats"
    assert len(ranked) == 2
    assert ranked[0].metadata["relevance_score"] > ranked[1].metadata["relevance_score"]
    assert "relevance_score" not in DOCUMENTS[0].metadata


async def test_the_reranker_ranks_async_the_same(rerank_server: LocalServer) -> None:
    reranker = VesselRerank(base_url=rerank_server.base_url, top_n=None)
    question = "What do cats do at night?"
    assert await reranker.acompress_documents(DOCUMENTS, question) == reranker.compress_documents(DOCUMENTS, question)


def test_a_least_score_leaves_out_the_rest(rerank_server: LocalServer) -> None:
    reranker = VesselRerank(base_url=rerank_server.base_url, top_n=None)
    ranking = reranker.rerank([document.page_content for document in DOCUMENTS], "What do cats do at night?")
    reranker.min_score = ranking[0].score
    assert len(reranker.compress_documents(DOCUMENTS, "What do cats do at night?")) == 1


async def test_a_ranking_has_a_timeout_of_its_own() -> None:
    with FakeServer(otherwise=Response(wait=threading.Event())) as server:
        reranker = VesselRerank(backend="llamacpp", base_url=server.base_url, model="m", timeout=600)
        with pytest.raises(TimeoutError):
            reranker.compress_documents(DOCUMENTS, "x", timeout=0.05)
        with pytest.raises(TimeoutError):
            await reranker.acompress_documents(DOCUMENTS, "x", timeout=0.05)


def test_nothing_to_rank_is_no_request() -> None:
    with llamacpp_server() as server:
        assert VesselRerank(base_url=server.base_url).compress_documents([], "x") == []
        assert server.requests == []
