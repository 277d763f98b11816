"""Drives flows and attempts over a transport: the clock, the sleep and the sending, in a sync and an async form."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AsyncExitStack, ExitStack
from typing import TypeVar

from vessel_core.backends.base import Flow
from vessel_core.errors import VesselError
from vessel_core.retry import Outcome, Retries, Wait, attempts
from vessel_core.transport import AsyncTransport, Incoming, Transport
from vessel_core.wire import Call, Reply

T = TypeVar("T")
logger = logging.getLogger("vessel_core")


def send(call: Call, transport: Transport, retries: Retries) -> Reply:
    """Make a call, again where that can help, and return its good reply; raise the error otherwise."""
    steps = attempts(call, retries)
    outcome: Outcome = None
    try:
        while True:
            step = steps.send(outcome)
            if isinstance(step, Wait):
                outcome = _log(step)
                time.sleep(step.seconds)
                continue
            try:
                outcome = transport.send(step.call)
            except VesselError as error:
                outcome = error
    except StopIteration as stop:
        return stop.value


def run(flow: Flow[T], transport: Transport, retries: Retries) -> T:
    """Drive a flow to its result; what goes wrong with a call is raised inside the flow."""
    try:
        call = next(flow)
        while True:
            try:
                reply = send(call, transport, retries)
            except VesselError as error:
                call = flow.throw(error)
            else:
                call = flow.send(reply)
    except StopIteration as stop:
        return stop.value


def open_stream(call: Call, transport: Transport, retries: Retries, stack: ExitStack) -> Incoming:
    """Make a call whose good reply is read as it comes; `stack` closes it."""
    steps = attempts(call, retries)
    outcome: Outcome = None
    incoming: Incoming | None = None
    try:
        while True:
            step = steps.send(outcome)
            if isinstance(step, Wait):
                outcome = _log(step)
                time.sleep(step.seconds)
                continue
            try:
                if step.call is not call:
                    outcome = transport.send(step.call)
                    continue
                incoming = stack.enter_context(transport.open(call))
                outcome = incoming.reply if incoming.good else transport.read(incoming)
            except VesselError as error:
                outcome = error
            if incoming is None or not incoming.good:
                stack.close()
    except StopIteration:
        assert incoming is not None  # noqa: S101 - attempts only returns a reply that came
        return incoming


async def asend(call: Call, transport: AsyncTransport, retries: Retries) -> Reply:
    """Make a call, as `send`."""
    steps = attempts(call, retries)
    outcome: Outcome = None
    try:
        while True:
            step = steps.send(outcome)
            if isinstance(step, Wait):
                outcome = _log(step)
                await asyncio.sleep(step.seconds)
                continue
            try:
                outcome = await transport.send(step.call)
            except VesselError as error:
                outcome = error
    except StopIteration as stop:
        return stop.value


async def arun(flow: Flow[T], transport: AsyncTransport, retries: Retries) -> T:
    """Drive a flow, as `run`."""
    try:
        call = next(flow)
        while True:
            try:
                reply = await asend(call, transport, retries)
            except VesselError as error:
                call = flow.throw(error)
            else:
                call = flow.send(reply)
    except StopIteration as stop:
        return stop.value


async def aopen_stream(call: Call, transport: AsyncTransport, retries: Retries, stack: AsyncExitStack) -> Incoming:
    """Make a call whose reply is read as it comes, as `open_stream`."""
    steps = attempts(call, retries)
    outcome: Outcome = None
    incoming: Incoming | None = None
    try:
        while True:
            step = steps.send(outcome)
            if isinstance(step, Wait):
                outcome = _log(step)
                await asyncio.sleep(step.seconds)
                continue
            try:
                if step.call is not call:
                    outcome = await transport.send(step.call)
                    continue
                incoming = await stack.enter_async_context(transport.open(call))
                outcome = incoming.reply if incoming.good else await transport.read(incoming)
            except VesselError as error:
                outcome = error
            if incoming is None or not incoming.good:
                await stack.aclose()
    except StopIteration:
        assert incoming is not None  # noqa: S101 - attempts only returns a reply that came
        return incoming


def _log(step: Wait) -> None:
    if step.progress is not None:
        logger.info(
            "%s (%s of %s %s)", step.progress.status, step.progress.completed, step.progress.total, step.progress.unit
        )
