"""The pages against what they speak of: figures, links, commands, examples."""

import importlib.util
import json
import re
from collections.abc import Callable
from typing import Any

import click
import pytest

from bench.accuracy import axes_page, seed_page
from bench.publish import pages
from bench.publish.suites import read
from galaxy_triton.cli.main import main

ROOT = pages.ROOT
PROSE = {page.relative_to(ROOT).as_posix(): page.read_text() for page in pages.PAGES}
EVERY_PAGE = pytest.mark.parametrize("name", PROSE)

pytestmark = pytest.mark.daily


def code_blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_figures_are_those_of_the_results() -> None:
    """If this fails: python -m bench.publish --tables."""
    stale = [page.name for page, text in pages.current().items() if page.read_text() != text]
    assert stale == []


@pytest.mark.parametrize(
    ("result", "page"),
    [("axes-cpu", axes_page.page), ("axes-networks-cpu", axes_page.page), ("seed-score-cpu", seed_page.page)],
)
def test_a_page_of_a_result_is_of_its_figures(result: str, page: Callable[[dict[str, Any]], str]) -> None:
    """Written by the measurement, not by hand."""
    kept = json.loads((pages.RESULTS / f"{result}.json").read_text())
    assert (pages.RESULTS / f"{result}.md").read_text() == page(kept)


def test_every_figure_is_written_between_marks_alone() -> None:
    text = "before\n<!-- figures: first-run -->\nstale\n<!-- end of figures -->\nafter 1.5\n"
    once = pages.with_figures(text, pages.RESULTS)
    assert once.startswith("before\n<!-- figures: first-run -->\n")
    assert once.endswith("<!-- end of figures -->\nafter 1.5\n")
    assert "stale" not in once
    assert pages.with_figures(once, pages.RESULTS) == once
    with pytest.raises(KeyError, match="nothing-such"):
        pages.with_figures(text.replace("first-run", "nothing-such"), pages.RESULTS)


@EVERY_PAGE
def test_marks_come_in_pairs(name: str) -> None:
    marks = re.findall(r"<!-- (figures|end of figures)", PROSE[name])
    assert marks == ["figures", "end of figures"] * (len(marks) // 2)
    assert len(pages.BLOCK.findall(PROSE[name])) == len(marks) // 2


@EVERY_PAGE
def test_links_lead_somewhere(name: str) -> None:
    """Relative links and images, with their anchors."""
    page = ROOT / name
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", PROSE[name]) if "://" not in link]
    for link in links:
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text()), link


@EVERY_PAGE
def test_commands_exist(name: str) -> None:
    """galaxy-triton's commands and options in shell blocks, and modules named anywhere."""
    for block in code_blocks(PROSE[name], "sh"):
        for command, rest in re.findall(r"^(?:exec )?galaxy-triton (\S+)(.*)$", block, flags=re.MULTILINE):
            found = main.commands[command]
            assert isinstance(found, click.Command)
            options = {option for parameter in found.params for option in parameter.opts}
            assert set(re.findall(r"(--[a-z-]+)", rest.split("#")[0])) <= options, f"{command}{rest}"
    for module in re.findall(r"python -m ((?:bench|tests)[\w.]*)", PROSE[name]):
        assert importlib.util.find_spec(module), module


def test_the_table_of_commands_is_whole() -> None:
    """Every command has a row, which names none but its own options."""
    section = PROSE["galaxy_triton/README.md"].split("## Commands")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)(.*)$", section, flags=re.MULTILINE)
    assert {name for name, _ in rows} == set(main.commands)
    for name, rest in rows:
        options = {option for parameter in main.commands[name].params for option in parameter.opts}
        assert set(re.findall(r"(--[a-z-]+)", rest)) <= options, name


@pytest.mark.parametrize("example", [block for text in PROSE.values() for block in code_blocks(text, "python")])
def test_examples_in_python_run(example: str) -> None:
    exec(compile(example, "example", "exec"), {})


def test_the_first_page_is_short_and_says_what_has_not_run() -> None:
    text = PROSE["README.md"]
    assert len(text.encode()) <= 8000
    on_gpus = any(result["made_with"]["gpu"] for result in read(pages.RESULTS))
    assert on_gpus or "no kernel has run on a GPU" in text


def test_the_first_commands_are_complete() -> None:
    """The first installs and trains; the second, which .ci/run takes from here, installs and tests."""
    train, test = code_blocks(PROSE["README.md"], "sh")[0].splitlines()
    assert train.endswith("galaxy-triton train")
    assert re.fullmatch(r"python3 -m venv \.venv && .* && \.venv/bin/pytest( -n auto)?", test)
