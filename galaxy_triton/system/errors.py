"""The exceptions that end a command, each with its exit code in the command line, and the form of messages."""

import shlex


class UsageFault(Exception):
    """Wrong use: an invalid option, or a choice that this machine cannot run. Exit code 2."""


class DataFault(Exception):
    """Wrong data: a file or folder with invalid contents. Exit code 1."""


class Diverged(DataFault):
    """A loss that is not finite, because of the data or of the configuration."""


class Stopped(Exception):
    """The user or the system asked to stop, and progress is saved. code: the exit code, which tells them apart."""

    def __init__(self, code: int) -> None:
        super().__init__(f"stopped with exit code {code}")
        self.code = code


def out_of_memory(error: Exception) -> bool:
    """Whether this error of Python, torch or one of its libraries means that memory has run out."""
    # By names and words, since torch is not imported here.
    words = ("out of memory", "DefaultCPUAllocator", "ALLOC_FAILED")
    by_name = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return by_name or any(word in str(error) for word in words)


def expected(what: str, got: object, where: object, do: str) -> str:
    """The form of every error message: the expected thing, the thing found, its place, and what to do."""
    return f"Expected {what}, got {got} ({where}): {do}"


def command(*words: object) -> str:
    """A galaxy-triton command as it is typed in a shell: paths with spaces and the like are quoted."""
    return shlex.join(["galaxy-triton", *map(str, words)])


def reason(error: Exception) -> str:
    """An exception in a few words, to be part of a message."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
