"""What a user sees: lines as they are, a bar on a terminal only."""

import io
import re
import time
from types import SimpleNamespace

import pytest
from rich.console import Console

from galaxy_triton.system import console as display_module
from galaxy_triton.system.console import Display, duration, table_lines


def test_say_keeps_every_character() -> None:
    display = Display()
    file = display.console.file = io.StringIO()
    long = "a line longer :star: than the console [bold]with brackets[/bold] and numbers 0.1205"
    display.say(long)
    assert file.getvalue().split() == long.split()
    assert len(file.getvalue().splitlines()) == 1


def test_progress_is_a_line_now_and_then_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """No line for what is soon done; the rate counts what was done while we looked."""
    moments = iter([100.0, 100.0, 104.0, 112.0, 113.0, 123.0])
    monkeypatch.setattr(display_module, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    file = io.StringIO()
    with Display(Console(file=file, width=100)).progress("packing", "images") as show:
        for done in (1000, 1500, 2200, 2300, 3300):
            show(done, 5000)
    assert file.getvalue().splitlines() == ["packing 2,200/5,000  100 images/s", "packing 3,300/5,000  100 images/s"]


def test_quiet_says_results_and_warnings() -> None:
    file, errors = io.StringIO(), io.StringIO()
    display = Display(Console(file=file, force_terminal=True), errors=Console(file=errors), quiet=True)
    with display.progress("packing", "images") as show:
        show(3, 7)
    display.note("a note")
    display.field("run", "a field")
    assert file.getvalue() == ""
    display.say("the result")
    display.result("RMSE", "low")
    display.warn("[look] out")
    assert file.getvalue() == "the result\nRMSE         low\n"
    assert errors.getvalue() == "Warning: [look] out\n"


def test_progress_shows_a_bar_on_a_terminal() -> None:
    file = io.StringIO()
    with Display(Console(file=file, force_terminal=True, width=120)).progress("packing", "images") as show:
        for done in (1, 3, 7):
            show(done, 7)
    shown = file.getvalue()
    assert "packing" in shown
    assert "7/7" in shown
    assert "0/?" not in shown


def test_a_bar_leaves_room_for_the_numbers() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=80)
    with Display(console).progress("epoch 123/180", "images") as show:
        for done in (10_000, 49_000):
            show(done, 55_420)
            time.sleep(0.01)
        show(49_001, 55_420)
    assert re.search(r"epoch 123/180 .*49,001/55,420 .*[\d,]+ images/s", file.getvalue())


@pytest.mark.parametrize(("width", "parts"), [(80, 2), (120, 1), (10, 4)])
def test_no_cell_of_a_table_is_cut(width: int, parts: int) -> None:
    """Columns without room come below, beside the first column again."""
    rows = [("row", *"abcd"), ("one of 36 letters, as some rows have", *(f"{place}.123456" for place in range(4)))]
    rows[0] = ("row", "a", "a heading of 20 letts", "c", "d")
    lines = list(table_lines(rows, width))
    assert max(map(len, lines)) <= width or width == 10
    assert sum(line.startswith("one of 36 letters, as some rows have") for line in lines) == parts
    assert [word for line in lines for word in line.split() if ".1234" in word] == list(rows[1][1:])


def test_duration() -> None:
    assert [duration(seconds) for seconds in (59.6, 61, 3599, 7_260)] == [
        "1 min 0 s",
        "1 min 1 s",
        "59 min 59 s",
        "2 h 1 min",
    ]
