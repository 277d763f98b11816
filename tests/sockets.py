"""What the servers that tests talk to ask of a connection."""

from __future__ import annotations

import select
import socket


def readable(connection: socket.socket, seconds: float = 0.0) -> bool:
    """Tell whether a read would bring something, or the end, within so many seconds."""
    looking = select.poll()  # `select` takes no file beyond the 1024th
    looking.register(connection, select.POLLIN)
    return bool(looking.poll(seconds * 1000))
