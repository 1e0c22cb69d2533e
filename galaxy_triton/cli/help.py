"""How help is laid out: options in named groups, commands in the order of the pipeline."""

from collections.abc import Callable
from inspect import cleandoc
from typing import Any

import click

Command = Callable[..., Any]
Decorator = Callable[[Command], Command]


class GroupedCommand(click.Command):
    """A command whose help lists its options by heading, in the order in which they are declared."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            if isinstance(parameter, click.Option) and (row := parameter.get_help_record(ctx)) is not None:
                rows.setdefault(getattr(parameter, "heading", "Options"), []).append(row)
        for heading, listed in rows.items():
            with formatter.section(heading):
                formatter.write_dl(listed)


def heading(text: str, *options: Decorator) -> Decorator:
    """Put options under a heading of the command's help."""

    def add(command: Command) -> Command:
        before = set(map(id, getattr(command, "__click_params__", [])))
        command = together(*options)(command)
        for parameter in command.__click_params__:  # type: ignore[attr-defined]
            if id(parameter) not in before:
                parameter.heading = text
        return command

    return add


def together(*options: Decorator) -> Decorator:
    """Several options as one decorator, in the order in which help shows them."""

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def example(text: str) -> Decorator:
    """Put an example at the end of a command's help."""

    def add(command: Command) -> Command:
        command.__doc__ = f"{cleandoc(command.__doc__ or '')}\n\n\b\nExample:\n  {text}"
        return command

    return add
