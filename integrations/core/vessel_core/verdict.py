"""Whose fault it is that a call failed: the host's, or its own? Where an error may be either, the call is made on another
host. If that answers, the first one is to blame; if all say the same, it was the call."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import fields

from vessel_core.errors import InvalidConfig, VesselError
from vessel_core.hosts import PoolHost, is_hosts_fault, may_be_hosts_fault
from vessel_core.records import record
from vessel_core.wire import Call

logger: logging.Logger = logging.getLogger("vessel_core")


@record
class MovedCall(Call):
    """A call that failed with an error that may have been its own fault, at the hosts it has `tried`."""

    tried: frozenset[str] = frozenset()


def tried_by(call: Call) -> frozenset[str]:
    """Return the URLs of the hosts that a call failed at."""
    return call.tried if isinstance(call, MovedCall) else frozenset()


def moved_from(call: Call, tried: frozenset[str]) -> Call:
    """Return a call that failed at these hosts."""
    if not tried:
        return call
    return MovedCall(**{name: getattr(call, name) for name in (each.name for each in fields(Call))}, tried=tried)


def retried(hosts: Sequence[PoolHost], tried: frozenset[str], error: VesselError) -> frozenset[str] | None:
    """Return the URLs of the hosts that what failed is not to be asked of, `None` if no other can take it soon or do better.

    `tried` are those that had failed it before.
    """
    others = {host.address.root for host in hosts if host.expected}
    if is_hosts_fault(error):
        return tried if others else None
    if not may_be_hosts_fault(error):
        return None
    tried |= {error.url or ""}
    if others - tried:
        return tried
    for host in hosts:
        if host.address.root in tried:
            host.forgive()
        if host.state == "aside" and isinstance(host.error, InvalidConfig):
            unasked = f"Not asked: {host.address.root}. {host.error.message}"
            error.hint = error.hint if unasked in (error.hint or "") else f"{error.hint or ''} {unasked}".strip()
    return None


def moved(hosts: Sequence[PoolHost], call: Call, error: VesselError) -> Call | None:
    """Return a call that failed as one for another host, if one can take it soon and may do better."""
    if call.method != "POST" and not is_hosts_fault(error):
        return None
    tried = retried(hosts, tried_by(call), error)
    return None if tried is None else moved_from(call, tried)


def suspect(hosts: Sequence[PoolHost], host: PoolHost, now: float, error: VesselError) -> None:
    """Set a host aside for an error that may be its fault, if another one is there to tell."""
    if any(other.expected for other in hosts if other is not host):
        host.suspicion = error
        host.fail(now, error)


def blame(hosts: Sequence[PoolHost], tried: frozenset[str]) -> None:
    """Note that a call was answered after these hosts had failed it: that was their fault."""
    for host in hosts:
        if host.suspicion is not None and host.address.root in tried:
            warn(host, host.suspicion)
            host.suspicion = None


def warn(host: PoolHost, error: VesselError) -> None:
    """Say once that a host is not used, and why; again when it has answered since, and there is another reason."""
    if not host.named and host.warned != error.message:
        host.named, host.warned = True, error.message
        logger.warning("%s is not used. %s. %s", host.address.root, error.message.rstrip("."), error.hint or "")
