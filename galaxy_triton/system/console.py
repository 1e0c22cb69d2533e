"""What a user sees of a command: results, notes on the way, warnings, and progress: a live bar on a terminal, a line
now and then elsewhere."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

LINE_EVERY = 10.0  # seconds between two lines of progress where there is no terminal

WIDEST = 200  # letters of a table where there is no terminal

Update = Callable[[int, int], None]


class Display:
    """Prints lines, and shows progress.

    Results go to standard output; `quiet` leaves only them and the warnings. Warnings go to standard error.
    """

    def __init__(self, console: Console | None = None, *, errors: Console | None = None, quiet: bool = False) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True, emoji=False)
        self.errors = errors or console or Console(highlight=False, soft_wrap=True, emoji=False, stderr=True)
        self.quiet = quiet

    def muted(self) -> "Display":
        """One that shows nothing at all, for a process beside the one that speaks."""
        return Display(Console(quiet=True), quiet=True)

    def say(self, line: str = "") -> None:
        """A line of the result, markup left as it is."""
        self.console.print(line, markup=False)

    def show(self, table: Table) -> None:
        """A table of the result; where there is no terminal to fit, as wide as it is."""
        wide = self.console if self.console.is_terminal else Console(file=self.console.file, width=WIDEST)
        wide.print(table, soft_wrap=False)

    def note(self, line: str = "") -> None:
        """A line about what is being done."""
        if not self.quiet:
            self.say(line)

    def warn(self, line: str) -> None:
        """A line that must not be missed."""
        self.errors.print(f"Warning: {line}", markup=False)

    def warn_of_left_out(self, messages: Iterable[str]) -> None:
        """The images that were left out, with the message of each."""
        for message in messages:
            self.warn(f"left out: {message}")

    @contextmanager
    def progress(self, what: str, unit: str) -> Iterator[Update]:
        """A function to call with (done, total); the rate is shown while the block runs."""
        if self.quiet:
            yield lambda done, total: None
        elif self.console.is_terminal:
            with self._bar(what, unit) as update:
                yield update
        else:
            yield _Lines(what, unit, self.say).update

    @contextmanager
    def _bar(self, what: str, unit: str) -> Iterator[Update]:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console, transient=True) as bar:
            task = bar.add_task(what, total=None, rate="")

            def update(done: int, total: int) -> None:
                speed = bar.tasks[0].speed
                bar.update(task, completed=done, total=total, rate=f"{speed:,.0f} {unit}/s" if speed else "")

            yield update


class _Lines:
    """Progress as lines, none for what is soon done."""

    def __init__(self, what: str, unit: str, say: Callable[[str], None]) -> None:
        self.what, self.unit, self.say = what, unit, say
        self.began = self.said = time.monotonic()
        self.before: int | None = None  # what a resumed task had done, not counted in the rate

    def update(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self.before is None:
            self.before = done
        if now - self.said >= LINE_EVERY:
            self.said = now
            rate = (done - self.before) / (now - self.began)
            self.say(f"{self.what} {done:,}/{total:,}  {rate:,.0f} {self.unit}/s")
