"""The image of docker-compose.yml, built and used: `make container-image`, with Docker and Compose.

Its user asks a server of the host from it, and runs every notebook in it, which start embedded servers there.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from vessel_core import LocalServer

from tests.docs.test_pages import ROOT

NOTEBOOKS = ROOT / "notebooks"
RUN = ("run", "--rm", "--no-deps", "-T", "jupyter")


def compose(environ: Mapping[str, str], *arguments: str) -> str:
    """Run Compose with variables of its own; what it says about its work is shown."""
    command = ["docker", "compose", "--project-name", "vessel-tried", *arguments]
    ran = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environ}, stdout=subprocess.PIPE, text=True, check=True
    )
    return ran.stdout


def main() -> None:
    """Try it; what fails says why."""
    owner = NOTEBOOKS.stat().st_uid or 1000  # in root's checkout the image's user can't write, as the page says
    user = {"VESSEL_UID": str(owner)}
    compose(user, "build", "jupyter")
    try:
        with LocalServer.demo(host="0.0.0.0") as server:
            address = f"http://host.docker.internal:{server.base_url.rpartition(':')[2]}"
            report = json.loads(compose(user | {"VESSEL_LLAMACPP_URL": address}, *RUN, "vessel", "doctor", "--json"))
            (found,) = [one for one in report["servers"] if one["connected"]]
            assert found["base_url"] == address, found
            print("the host's server is reached from the container:", address)

        identity = compose(user, *RUN, "id", "-u").strip()
        assert identity == str(owner), identity
        if NOTEBOOKS.stat().st_uid:
            compose(user, *RUN, "sh", "-c", "touch notebooks/.tried && rm notebooks/.tried")
            print("its user can write into the host's notebooks")

        for notebook in sorted(NOTEBOOKS.glob("*.ipynb")):
            run_notebook(user, notebook)
    finally:
        compose(user, "down")


def run_notebook(user: Mapping[str, str], notebook: Path) -> None:
    """Run it in the container, where what comes out stays."""
    execute = ("jupyter", "nbconvert", "--to", "notebook", "--execute", "--output-dir", "/tmp")
    compose(user, *RUN, *execute, f"notebooks/{notebook.name}")
    print(notebook.name, "runs there")


if __name__ == "__main__":
    main()
