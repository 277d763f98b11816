"""The parts of the demo by themselves."""

from __future__ import annotations

import io

import pytest
from PIL import Image
from rich.console import Console
from tour import material
from tour.checks import right_colour, short, tool_used
from tour.report import Missing, Report, Step, StepFailed

from tests.docs.test_pages import DOCS


def report(*, strict: bool = False) -> tuple[Report, io.StringIO]:
    said = io.StringIO()
    return Report(Console(file=said, width=200), strict=strict), said


def failing(error: Exception) -> Step:
    def run() -> str:
        raise error

    return Step("a step", run)


def test_the_passages_come_from_every_page_and_fit_a_small_embedding_model() -> None:
    passages = material.passages()
    assert {passage.source for passage in passages} == {
        f"docs/{page.name}" for page in DOCS if page.parent.name == "docs"
    }
    assert all(0 < len(passage.text) <= material.LONGEST for passage in passages)
    assert sum(material.FACT in passage.text for passage in passages) >= 2


def test_a_code_block_stays_whole() -> None:
    passages = [passage.text for passage in material.passages()]
    assert not [text for text in passages if text.count("```") % 2]


@pytest.mark.parametrize("colour", material.COLOURS)
def test_the_picture_is_a_png_of_that_colour(colour: str) -> None:
    picture = Image.open(io.BytesIO(material.square(colour)))
    assert picture.size == (64, 64)
    assert picture.getpixel((32, 32)) == material.COLOURS[colour]


def test_a_step_is_reported_with_its_outcome() -> None:
    telling, said = report()
    telling.play("LangChain", [Step("a step", lambda: "it went well")])
    assert telling.summary()
    assert "it went well" in said.getvalue()
    assert "Every step did what it says." in said.getvalue()


@pytest.mark.parametrize("error", [StepFailed("not that"), ValueError("not that")])
def test_a_step_that_fails_is_reported_and_does_not_stop_the_next(error: Exception) -> None:
    telling, said = report()
    telling.play("LangChain", [failing(error), Step("the next", lambda: "it went well")])
    assert not telling.summary()
    assert "not that" in said.getvalue()
    assert [outcome.state for outcome in telling.outcomes] == ["FAILED", "ok"]
    assert "1 of 2 steps failed." in said.getvalue()


def test_what_a_server_is_not_made_for_is_no_failure_but_is_one_on_the_embedded_server() -> None:
    telling, said = report()
    telling.play("LangChain", [failing(Missing("no tools"))])
    assert telling.summary()
    assert "not made for" in said.getvalue()
    telling, said = report(strict=True)
    telling.play("LangChain", [failing(Missing("no tools"))])
    assert not telling.summary()


def test_text_of_a_model_can_not_drive_the_terminal_or_the_markup() -> None:
    telling, said = report()
    telling.note("answer", "\x1b[31mred\x1b[0m [bold]not bold[/bold] \x07")
    telling.pieces("answer", ["\x1b]0;title\x07", "plain"])
    assert "\x1b" not in said.getvalue()
    assert "\x07" not in said.getvalue()
    assert "[bold]not bold[/bold]" in said.getvalue()


@pytest.mark.parametrize("answer", ["It is red.", "Green or blue?", "A square.", ""])
def test_only_the_colour_that_was_drawn_counts(answer: str) -> None:
    assert right_colour("It looks Green!", "green") == "it saw green"
    with pytest.raises(StepFailed):
        right_colour(answer, "green")


def test_a_tool_counts_only_if_it_ran_and_its_result_came_back_and_was_answered() -> None:
    weather = material.Weather()
    with pytest.raises(StepFailed, match="did not call"):
        tool_used(weather, ["21 degrees"], "It is sunny.")
    result = weather.get_weather("Oslo")
    with pytest.raises(StepFailed, match="did not come back"):
        tool_used(weather, [], "It is sunny.")
    with pytest.raises(StepFailed, match="empty"):
        tool_used(weather, [result], " ")
    assert tool_used(weather, [result], "It is sunny.") == "the tool ran 1 time"


def test_a_passage_is_shown_on_one_line() -> None:
    assert short("## A title\n\nand `code`") == "A title and code"
    assert len(short("word " * 100)) <= 111
