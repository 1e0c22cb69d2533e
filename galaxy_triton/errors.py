"""The two kinds of fault a user can cause; the command line gives each its exit code."""


class UsageFault(Exception):
    """Wrong use: an option that cannot be, or a choice this machine cannot run. Exit code 2."""


class DataFault(Exception):
    """Wrong data: a file or folder that does not hold what it should. Exit code 1."""


def expected(what: str, got: object, where: object, do: str) -> str:
    """The one form of every message: expected what, got what, where, what to do."""
    return f"Expected {what}, got {got} ({where}): {do}"
