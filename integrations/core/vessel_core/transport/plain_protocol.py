"""A connection of asyncio's that brings one HTTP exchange after another."""

from __future__ import annotations

import asyncio
import math
import os
from typing import Any

import httpx

from vessel_core.transport.faults import HUNG_UP
from vessel_core.transport.http1 import Exchange
from vessel_core.transport.plain import MOST, readable, shut_down

MOST_HELD = 256 * 1024
"""Bytes that may have come and not been read: reading stops until they are."""


class PlainProtocol(asyncio.BufferedProtocol):
    """A connection; `exchange` is what it serves, nothing while it is idle; `buffer` is where reads go, one after the other.

    What comes goes to the exchange at once, and wakes who waits for it: a future for each wait, and a timer for many. It is set
    anew only for a wait that may not take as long as it has left; when it goes off it looks whether the last one is over.
    """

    __slots__ = (
        *("_alarm", "_buffer", "_full", "_held", "_late", "_loop", "_lost", "_open", "_paused", "_pid", "_rings"),
        *("_since", "_transport", "_unknown", "_until", "_waiting", "exchange"),
    )

    def __init__(self, exchange: Exchange, among: set[PlainProtocol], buffer: memoryview) -> None:
        self.exchange: Exchange | None = exchange
        self._buffer = buffer
        self._open = among
        self._pid = os.getpid()
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None  # asyncio's, once there is one
        self._lost: Exception | None = None
        self._unknown = False  # whether a request went out whole: of the buffer of TLS asyncio tells nothing
        self._held = 0
        self._paused = self._full = False
        self._waiting: asyncio.Future[None] | None = None
        self._until: float | None = None
        self._late = False
        self._alarm: asyncio.TimerHandle | None = None
        self._rings = math.inf  # when the alarm goes off
        self._since = 0.0  # when it became idle

    async def begin(self, exchange: Exchange, write: float | None, read: float | None) -> None:
        """Send a request; return when the head of its reply has come, within so many seconds for each."""
        self.exchange = exchange
        self._unknown = len(exchange.outgoing) > MOST and self._transport.get_extra_info("sslcontext") is not None
        self._transport.write(exchange.outgoing)  # whose value is no variable: frames are shown, and it holds the key
        exchange.outgoing = b""
        if self._full:
            self.within(write)
        while self._full and self._lost is None and not exchange.begun():  # a reply may come before all was sent
            if self._late:
                raise httpx.WriteTimeout("")
            await self._change()
        self.within(read)
        while not exchange.begun():
            await self.more()

    def within(self, seconds: float | None) -> None:
        """Give what is waited for next so many seconds, however often something changes meanwhile."""
        self._late = False
        self._until = until = None if seconds is None else self._loop.time() + seconds
        if until is not None and until < self._rings:
            self._set_alarm(until)

    async def more(self) -> None:
        """Wait until more has come of a reply, or its end; raise `httpx.ReadTimeout`, `httpx.ReadError`."""
        if self._lost is not None:
            raise httpx.ReadError(str(self._lost)) from self._lost
        if self._late:
            raise httpx.ReadTimeout("")
        await self._change()

    def rest(self) -> bool:
        """Be idle; tell whether it may serve another call."""
        self.exchange = None
        self._since = self._loop.time()
        self._go_on_reading()
        return not (self._is_closed() or self._unknown or self._transport.get_write_buffer_size())

    def is_idle_for(self, seconds: float) -> bool:
        """Tell whether it has been idle for so long."""
        return self._since + seconds <= self._loop.time()

    def is_silent(self) -> bool:
        """Tell whether nothing has come, the end neither: what comes to an idle connection was not asked for."""
        return not (self._is_closed() or readable(self._transport.get_extra_info("socket")))

    def abort(self) -> None:
        """Close it at once, whatever is still to be sent."""
        self._open.discard(self)  # uvloop tells of no loss if it was to be cancelled just when it was made
        if self._transport is not None:
            if self._pid == os.getpid():
                shut_down(self._transport.get_extra_info("socket"))
            self._transport.abort()

    def _is_closed(self) -> bool:
        return self._lost is not None or self._transport.is_closing()

    async def _change(self) -> None:
        self._go_on_reading()
        self._waiting = self._loop.create_future()
        await self._waiting

    def _go_on_reading(self) -> None:
        """Whatever came was looked at."""
        self._held = 0
        if self._paused:
            self._paused = False
            self._transport.resume_reading()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def _set_alarm(self, until: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._rings = until
        self._alarm = self._loop.call_at(until, self._ring)

    def _ring(self) -> None:
        self._alarm, self._rings = None, math.inf
        if self._until is None:
            return
        if self._until > self._loop.time():
            self._set_alarm(self._until)
        else:
            self._late = True
            self._wake()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take asyncio's transport, which from now on tells what happens."""
        self._transport = transport
        self._open.add(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Say where the next read goes. (asyncio's other way makes an object of 256 KiB for each, which takes 14 µs.)"""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Hand on what came; close a connection on which nothing was asked for."""
        if self.exchange is None:
            self.abort()
            return
        self.exchange.receive(bytes(self._buffer[:nbytes]))
        self._held += nbytes
        if self._held > MOST_HELD and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """Hand on that the other end was closed; asyncio then closes this one, once what is still to be sent was."""
        if self.exchange is not None:
            self.exchange.receive(b"")
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Have no reply waited for any longer."""
        if exc is None and self in self._open and self.exchange is not None:
            self.exchange.receive(b"")  # uvloop tells of no end before if TLS had none of its own
        lost = exc or ConnectionAbortedError(HUNG_UP)
        self._lost = lost.with_traceback(None)  # frames of asyncio hold what was sent, the key in it
        self._open.discard(self)
        if self._alarm is not None:
            self._alarm.cancel()
        self._wake()

    def pause_writing(self) -> None:
        """Note that much is still to be sent."""
        self._full = True

    def resume_writing(self) -> None:
        """Note that little is."""
        self._full = False
        self._wake()
