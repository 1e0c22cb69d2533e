"""How a command can end other than well; the command line gives each its exit code."""


class UsageFault(Exception):
    """Wrong use: an option that cannot be, or a choice this machine cannot run. Exit code 2."""


class DataFault(Exception):
    """Wrong data: a file or folder that does not hold what it should. Exit code 1."""


class Diverged(DataFault):
    """A loss that is not finite: it may be the data's fault, or the configuration's."""


class Stopped(Exception):
    """Someone asked to stop, and what was done is saved. code: the exit code that tells who."""

    def __init__(self, code: int) -> None:
        super().__init__(f"stopped with exit code {code}")
        self.code = code


def out_of_memory(error: Exception) -> bool:
    """Whether this is how Python, torch or one of its libraries says that memory has run out."""
    # torch's class by its name, the others by their words: torch is not imported here.
    words = ("out of memory", "DefaultCPUAllocator", "ALLOC_FAILED")
    by_name = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return by_name or any(word in str(error) for word in words)


def expected(what: str, got: object, where: object, do: str) -> str:
    """The one form of every message: expected what, got what, where, what to do."""
    return f"Expected {what}, got {got} ({where}): {do}"


def reason(error: Exception) -> str:
    """An exception in a few words, for a message of ours."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
