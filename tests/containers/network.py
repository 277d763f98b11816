"""The way out of a container, tried without one: `make container-network`, as root, on Linux.

A network namespace stands for the container: a loopback of its own, one cable to the host, and `host.docker.internal` in its
hosts file, as `extra_hosts` writes it. What is run in it has the variables of docker-compose.yml.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vessel_core import LocalServer

from tests.containers.compose import services

BOX, CABLE = "vessel-box", "vessel-cable"
HOST, INSIDE = "10.231.77.1", "10.231.77.2"
HOSTS = Path("/etc/netns") / BOX / "hosts"
ASK = """
from langchain_vessel import ChatVessel
from llama_index.llms.vessel import Vessel
print(ChatVessel(timeout=20).invoke("Hello").text)
print(Vessel(timeout=20).complete("Hello"))
"""


def ip(arguments: str) -> None:
    """Run `ip`."""
    subprocess.run(["ip", *arguments.split()], check=True)


@contextmanager
def box() -> Generator[None]:
    """Set the namespace up, and take it down."""
    try:
        ip(f"netns add {BOX}")
        ip(f"link add {CABLE} type veth peer name eth0 netns {BOX}")
        ip(f"addr add {HOST}/30 dev {CABLE}")
        ip(f"link set {CABLE} up")
        for arguments in (f"addr add {INSIDE}/30 dev eth0", "link set eth0 up", "link set lo up"):
            ip(f"-n {BOX} {arguments}")
        HOSTS.parent.mkdir(parents=True, exist_ok=True)
        HOSTS.write_text(f"127.0.0.1 localhost\n{HOST} host.docker.internal\n")
        yield
    finally:
        with suppress(subprocess.CalledProcessError):
            ip(f"netns delete {BOX}")  # the cable goes with it
        HOSTS.unlink(missing_ok=True)


def inside(environ: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the namespace."""
    command = ["ip", "netns", "exec", BOX, sys.executable, *arguments]
    return subprocess.run(command, env={**os.environ, **environ}, capture_output=True, text=True, check=False)


def doctor(environ: Mapping[str, str], *arguments: str) -> dict[str, Any]:
    """Return what `vessel doctor` says there."""
    return json.loads(inside(environ, "-m", "vessel_core.cli", "doctor", "--json", *arguments).stdout)


def main() -> None:
    """Try it; an assertion that fails says what doesn't work."""
    given: dict[str, str] = services()["jupyter"]["environment"]
    with box(), LocalServer.demo(host="0.0.0.0") as everywhere, LocalServer.demo() as loopback:
        ports = [server.base_url.rpartition(":")[2] for server in (everywhere, loopback)]
        open_, closed = ({**given, "LLAMACPP_URL": f"http://host.docker.internal:{port}"} for port in ports)

        report = doctor(open_)
        (found,) = [one for one in report["servers"] if one["connected"]]
        assert (found["backend"], found["base_url"]) == ("llamacpp", open_["LLAMACPP_URL"]), found
        assert all(check["works"] for check in found["checks"] if check["name"] in ("stream", "tools", "vision")), found
        print("reached from the container:", found["base_url"])

        asked = inside(open_, "-c", ASK)
        assert asked.returncode == 0, asked.stderr
        assert len(asked.stdout.splitlines()) == 2, asked.stdout
        print("LangChain and LlamaIndex answered there")

        report = doctor(closed)
        assert not report["well"], report
        (refused,) = [one for one in report["servers"] if one["backend"] == "llamacpp"]
        assert "refused" in refused["error"], refused
        print("one that listens on loopback only is not reached:", refused["error"])

        report = doctor({}, "--url", f"http://localhost:{ports[0]}")
        assert not report["well"], report
        print("localhost in the container is the container")


if __name__ == "__main__":
    main()
