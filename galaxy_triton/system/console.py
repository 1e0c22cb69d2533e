"""A command's output: results, notes, warnings, and progress (a bar on a terminal, otherwise a line now and then)."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

LINE_EVERY = 10.0  # seconds between two lines of progress without a terminal
WIDEST = 200  # letters in a line of a table without a terminal
LABEL, BAR = 30, 40  # letters before a bar at most, and of the bar where the terminal has room

Update = Callable[[int, int], None]


class Display:
    """Prints results, notes and progress to standard output, warnings to standard error.

    quiet: print only results and warnings.
    """

    def __init__(self, console: Console | None = None, *, errors: Console | None = None, quiet: bool = False) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True, emoji=False)
        self.errors = errors or console or Console(highlight=False, soft_wrap=True, emoji=False, stderr=True)
        self.quiet = quiet

    def muted(self) -> "Display":
        """A display that prints nothing, for processes other than the first."""
        return Display(Console(quiet=True), quiet=True)

    def say(self, line: str = "") -> None:
        """Print a line of the result; rich markup in it is printed as text."""
        self.console.print(line, markup=False)

    def result(self, name: str, text: object) -> None:
        """Print a named result, its text aligned with that of other results."""
        self.say(f"{name:<12} {text}")

    def show(self, rows: Sequence[Sequence[str]]) -> None:
        """Print a table of the result, the head first. Columns that the terminal has no room for come in a table below,
        beside the first column again."""
        for line in table_lines(rows, self.console.width if self.console.is_terminal else WIDEST):
            self.say(line)

    def note(self, line: str = "") -> None:
        """Print a line about the work in progress, unless quiet."""
        if not self.quiet:
            self.say(line)

    def field(self, name: str, text: object) -> None:
        """Print a named note, its text aligned with that of other fields."""
        self.note(f"{name:<10} {text}")

    def warn(self, line: str) -> None:
        """Print a warning to standard error, also when quiet."""
        self.errors.print(f"Warning: {line}", markup=False)

    def warn_of_left_out(self, messages: Iterable[str]) -> None:
        """Warn of each image that was left out; messages say which and why."""
        for message in messages:
            self.warn(f"left out: {message}")

    @contextmanager
    def progress(self, what: str, unit: str) -> Iterator[Update]:
        """Yield a function update(done, total) that shows progress and the rate in `unit` per second."""
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
            BarColumn(BAR if self.console.width > 2 * BAR + 20 else None),  # None: as long as there is room
            TextColumn("{task.fields[count]}"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console, transient=True) as bar:
            short = what if len(what) <= LABEL else f"…{what[1 - LABEL :]}"
            task = bar.add_task(short, total=None, count="", rate="")

            def update(done: int, total: int) -> None:
                speed = bar.tasks[0].speed
                count, rate = f"{done:,}/{total:,}", f"{speed:,.0f} {unit}/s" if speed else ""
                bar.update(task, completed=done, total=total, count=count, rate=rate)

            yield update


class _Lines:
    """Progress as one line every LINE_EVERY seconds."""

    def __init__(self, what: str, unit: str, say: Callable[[str], None]) -> None:
        self.what, self.unit, self.say = what, unit, say
        self.start = self.last_line = time.monotonic()
        self.done_at_start: int | None = None  # of a resumed task; not counted in the rate

    def update(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self.done_at_start is None:
            self.done_at_start = done
        if now - self.last_line >= LINE_EVERY:
            self.last_line = now
            rate = (done - self.done_at_start) / (now - self.start)
            self.say(f"{self.what} {done:,}/{total:,}  {rate:,.0f} {self.unit}/s")


def table_lines(rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """The lines of a table, of at most `width` letters where its columns allow it; no cell is cut.

    Columns that do not fit come in a table below, beside the first column again.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rest = list(range(1, len(widths)))
    while rest:
        taken = 1
        while taken < len(rest) and widths[0] + sum(2 + widths[place] for place in rest[: taken + 1]) <= width:
            taken += 1
        for row in rows:
            yield "  ".join([f"{row[0]:<{widths[0]}}", *(f"{row[place]:>{widths[place]}}" for place in rest[:taken])])
        yield ""
        rest = rest[taken:]


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"
