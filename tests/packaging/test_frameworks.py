"""What is built without validation is what validation makes, on the oldest and the newest frameworks that are allowed."""

from __future__ import annotations

import json
import os
import re
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.packaging.distributions import CORE, LANGCHAIN, LLAMA_INDEX, ROOT, project, run

#: The files that hold it, sums of chunks and texts so far among them.
FILES = [
    file
    for face in ("langchain", "llama_index")
    for part in ("building", "sums", "so_far")
    for file in sorted(ROOT.glob(f"tests/{face}/test_{part}.py"))
]
ALLOWED = {
    wanted.name: wanted.specifier
    for distribution in (CORE, LANGCHAIN, LLAMA_INDEX)
    for wanted in map(Requirement, project(distribution)["dependencies"])
}
MODULES = {"langchain-core": "langchain_core", "llama-index-core": "llama_index.core", "pydantic": "pydantic"}
RUN = f"""
import json, pytest, sys
from importlib.metadata import version
code = pytest.main(["-q", "-p", "no:cacheprovider", *sys.argv[1:]])
print(json.dumps({{name: [version(name), sys.modules[module].__file__] for name, module in {MODULES}.items()}}))
sys.exit(code)
"""


def pinned(end: str) -> dict[str, str]:
    """What lies in the folder of that end, and in which version."""
    text = (ROOT / f"requirements/frameworks-{end}.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"(?m)^([\w-]+)==(\S+)", text))


@pytest.mark.parametrize("end", ["oldest", "newest"])
def test_what_is_built_by_hand_is_what_the_framework_would_make(end: str) -> None:
    laid = Path(sys.prefix) / f"frameworks-{end}"
    assert laid.is_dir(), f"{laid} is missing: run `make test`, which makes it."
    path = os.pathsep.join([str(laid), *filter(None, [os.environ.get("PYTHONPATH")])])
    *said, used = run([sys.executable, "-c", RUN, *FILES], PYTHONPATH=path).splitlines()
    passed = re.fullmatch(r"(\d+) passed in .*", said[-1])
    assert passed, said
    assert int(passed[1]) > 60
    for name, (found, file) in json.loads(used).items():
        if name in pinned(end):
            assert found == pinned(end)[name]
            assert Path(file).is_relative_to(laid)


def test_the_oldest_are_the_lower_bounds() -> None:
    bounds = {name: min(bound.version for bound in ALLOWED[name] if bound.operator == ">=") for name in MODULES}
    assert {name: pinned("oldest")[name] for name in MODULES} == bounds


def test_the_newest_are_allowed_and_none_is_older_than_what_all_tests_run_with() -> None:
    for name in set(MODULES) - {"pydantic"}:
        assert pinned("newest")[name] in ALLOWED[name]
        assert Version(pinned("newest")[name]) >= Version(version(name))
