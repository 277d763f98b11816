"""Whether a server answers at all, before a command waits for what it does."""

from __future__ import annotations

from contextlib import closing, suppress

from vessel_core.backends.base import Flow
from vessel_core.client import Client
from vessel_core.diagnosis import LOOK
from vessel_core.discovery import PROBES
from vessel_core.errors import ResponseError, Unsupported
from vessel_core.session import Session
from vessel_core.wire import Call


def reach(client: Client) -> None:
    """Find the server of a client and hear one reply of it, whatever it says; raise what keeps one from coming.

    One that hangs is waited for as long as `vessel doctor` does. Models that load and prompts that are read take their time
    after that. Of several hosts each call finds one that answers.
    """
    if client.target.pool is None:
        with closing(Session(client.target)) as session:
            session.run(_reply(), patient=False, timeout=LOOK)


def _reply() -> Flow[None]:
    with suppress(ResponseError, Unsupported):
        yield Call("GET", PROBES[0])  # a list: no server computes for it
