"""Lets what LangChain hangs onto a model be pickled with it: its own limiter and its counter hold locks, which can't be.

Another process gets a limiter of the same settings with a bucket of its own, and a counter that goes on from what was counted.
Handlers and caches of other makers have to be picklable themselves.
"""

from __future__ import annotations

import copyreg
from typing import Any

from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages.ai import UsageMetadata
from langchain_core.rate_limiters import InMemoryRateLimiter


def register() -> None:
    """Tell `pickle` how to write the two, before a model is written that may hold them."""
    copyreg.pickle(InMemoryRateLimiter, _limiter)
    copyreg.pickle(UsageMetadataCallbackHandler, _counter)


def _limiter(limiter: InMemoryRateLimiter) -> tuple[Any, ...]:
    settings = limiter.requests_per_second, limiter.check_every_n_seconds, limiter.max_bucket_size
    return _new_limiter, settings


def _new_limiter(rate: float, every: float, bucket: float) -> InMemoryRateLimiter:
    return InMemoryRateLimiter(requests_per_second=rate, check_every_n_seconds=every, max_bucket_size=bucket)


def _counter(counter: UsageMetadataCallbackHandler) -> tuple[Any, ...]:
    return _new_counter, (counter.usage_metadata,)


def _new_counter(counted: dict[str, UsageMetadata]) -> UsageMetadataCallbackHandler:
    counter = UsageMetadataCallbackHandler()
    counter.usage_metadata = dict(counted)
    return counter
