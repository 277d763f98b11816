"""The `vessel` command. It needs the extra `[cli]`, and imports no framework."""

from __future__ import annotations

import sys
from importlib.util import find_spec


def main() -> None:
    """Run the command; say what to install if it can't."""
    if find_spec("typer") is None or find_spec("rich") is None:
        sys.exit("The vessel command needs its extra: pip install 'vessel-core[cli]'")
    from vessel_core.cli.app import app

    app()
