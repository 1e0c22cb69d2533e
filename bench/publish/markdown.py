"""Markdown of the pages: tables, filled paragraphs, numbers with their intervals."""

import textwrap

WIDTH = 120


def table(header: list[str], body: list[list[str]]) -> str:
    """A table; empty if it has no rows."""
    lines = [header, ["---"] * len(header), *body] if body else []
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def fill(text: str) -> str:
    """A paragraph in lines of at most 120 characters."""
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def interval(values: list[float], form: str) -> str:
    """Middle [low, high], each in this format."""
    middle, low, high = values
    return f"{middle:{form}} [{low:{form}}, {high:{form}}]"
