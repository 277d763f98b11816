"""`make audit`: known advisories on what is locked, and the bill of materials of the core.

It fails on an advisory, and where the audit itself fails. Where the advisory service can't be reached, it says so and goes on.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LOCKS = ("core", "dev")
SBOM = ROOT / "dist" / "vessel-core.cdx.json"
UNREACHED = re.compile(
    r"^.*(?:Could not connect to|not redirecting properly).*|^[\w.]*(?:ConnectionError|Timeout|ProxyError|SSLError): .*",
    re.MULTILINE,
)
"""The line of pip-audit's, or the end of a traceback of requests', that says that the service does not answer."""


def advisories(lock: str) -> list[str] | None:
    """Return the advisories on one lock file, or why there are none to be had; `None` if nobody could be asked."""
    options = ["--require-hashes", "--disable-pip", "--format", "json", "--progress-spinner", "off"]
    command = [sys.executable, "-m", "pip_audit", *options, "-r", str(ROOT / "requirements" / f"{lock}.txt")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    try:
        report: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        said = done.stderr.strip() or "no word"
        if (away := UNREACHED.search(said)) is None:
            return [f"{lock}.txt: pip-audit failed, so nothing is known of it: {said[-4000:]}"]
        print(f"{lock}.txt: the advisory service can't be reached, so nothing is known of it: {away[0][:200]}")
        return None
    packages: list[dict[str, Any]] = report["dependencies"]
    asked = [package for package in packages if "vulns" in package]
    print(f"{lock}.txt: the advisory service knows {len(asked)} of {len(packages)} packages")
    for package in packages:
        if package not in asked:
            print(f"  not {package['name']}: {package['skip_reason']}")
    if not asked:
        return None
    return [
        f"{lock}.txt: {package['name']} {package['version']}: {found['id']}, mended in {', '.join(found['fix_versions'])}"
        for package in asked
        for found in package["vulns"]
    ]


def bill() -> int:
    """Write the CycloneDX bill of materials of the core; return how many parts it has."""
    SBOM.parent.mkdir(exist_ok=True)
    lock, project = ROOT / "requirements" / "core.txt", ROOT / "pyproject.toml"
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", "--pyproject", str(project), "--of", "JSON"]
    subprocess.run([*command, "-o", str(SBOM), str(lock)], check=True, capture_output=True)
    return len(json.loads(SBOM.read_text())["components"])


def main() -> None:
    """Look at every lock file, and write the bill."""
    found = {lock: advisories(lock) for lock in LOCKS}
    known = [advisory for each in found.values() for advisory in each or ()]
    asked = [lock for lock, each in found.items() if each is not None]
    print(
        *known
        or [
            f"No advisory on {', '.join(f'{lock}.txt' for lock in asked)}."
            if asked
            else "Nothing is known: the advisory service could not be asked."
        ],
        sep="\n",
    )
    print(f"{SBOM.relative_to(ROOT)}: the core and {bill()} parts.")
    sys.exit(1 if known else 0)


if __name__ == "__main__":
    main()
