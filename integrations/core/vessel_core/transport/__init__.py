"""The network: the only package that names httpx, and the only I/O of the core.

- One pool of connections a process (a forked child makes its own), one an event loop, closed with the loop.
- No redirects, no proxy for local hosts, no compression asked for, a TLS context for https only.
- Idle connections are dropped after 4 s: llama.cpp and LM Studio close theirs after 5 (quirk 87).
"""

from httpx import AsyncBaseTransport as AsyncHTTPTransport
from httpx import BaseTransport as HTTPTransport

from vessel_core.transport.async_shell import AsyncTransport
from vessel_core.transport.connection import Connection
from vessel_core.transport.incoming import Incoming
from vessel_core.transport.sync_shell import Transport

__all__ = ["AsyncHTTPTransport", "AsyncTransport", "Connection", "HTTPTransport", "Incoming", "Transport"]
