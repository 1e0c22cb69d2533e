"""What a user sees: lines as they are, a bar on a terminal only."""

import io

from rich.console import Console

from galaxy_triton.display import Display


def test_say_keeps_every_character() -> None:
    file = io.StringIO()
    display = Display(Console(file=file, width=20))
    long = "a line longer than the console [bold]with brackets[/bold] and numbers 0.1205"
    display.say(long)
    assert file.getvalue().split() == long.split()
    assert Display().console.soft_wrap


def test_progress_is_silent_in_a_file() -> None:
    file = io.StringIO()
    with Display(Console(file=file)).progress("packing", "images") as show:
        show(3, 7)
    assert file.getvalue().strip() == ""


def test_progress_shows_a_bar_on_a_terminal() -> None:
    file = io.StringIO()
    with Display(Console(file=file, force_terminal=True, width=120)).progress("packing", "images") as show:
        for done in (1, 3, 7):
            show(done, 7)
    shown = file.getvalue()
    assert "packing" in shown
    assert "7/7" in shown
