"""Embeddings, on a real server."""

from __future__ import annotations

import asyncio

import numpy as np
from llama_index.embeddings.vessel import VesselEmbedding

TEXTS = [f"Fact number {number} is about {topic}." for number, topic in enumerate(["boats", "bread", "birds"] * 5)]


async def test_vectors_come_in_the_order_of_the_texts_in_every_form(embedding: VesselEmbedding) -> None:
    one_by_one = [await embedding.aget_text_embedding(text) for text in TEXTS]
    assert await asyncio.to_thread(embedding.get_text_embedding, TEXTS[3]) == one_by_one[3]
    embedding.embed_batch_size = 4
    # llama.cpp's last digits depend on what else is in the batch.
    np.testing.assert_allclose(
        await asyncio.to_thread(embedding.get_text_embedding_batch, TEXTS), one_by_one, atol=1e-5
    )
    np.testing.assert_allclose(await embedding.aget_text_embedding_batch(TEXTS), one_by_one, atol=1e-5)


def test_what_belongs_together_is_near(embedding: VesselEmbedding) -> None:
    query = embedding.get_query_embedding("Which boats are there?")
    boats, bread = embedding.get_text_embedding_batch(["Boats cross the lake.", "Bread is baked at night."])
    assert embedding.similarity(query, boats) > embedding.similarity(query, bread)
