"""How a command ends: a fault of the user's with a message and its exit code, never with a traceback."""

import errno
from typing import Any

import click

from galaxy_triton.system.errors import DataFault, Stopped, UsageFault, out_of_memory

# An option -> how it lowers the memory that a command takes.
LIGHTER = {
    "--batch-size": "lower --batch-size",
    "--width": "lower --width",
    "--accumulate": "raise --accumulate",
    "--resident": "use --resident host",
    "--workers": "lower --workers",
}


class Endings(click.Group):
    """Commands that end in one of these ways."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UsageFault as fault:
            raise click.UsageError(str(fault)) from None
        except DataFault as fault:
            raise click.ClickException(str(fault)) from None
        except Stopped as stopped:
            ctx.exit(stopped.code)
        except ModuleNotFoundError as error:
            name = str(error.name).partition(".")[0]
            do = "install galaxy-triton again, with all that it needs"
            raise click.ClickException(f"Expected the package {name}, got none (this Python's): {do}") from None
        except KeyboardInterrupt:
            click.echo("Stopped", err=True)
            ctx.exit(130)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            got, where = error.strerror or error, error.filename or "what is written to"
            message = f"Expected to read and write, got {got} ({where}): mend that place, or name another"
            raise click.ClickException(message) from None
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            do = f"{_lighter(self, ctx)}; what was saved is whole"
            got = (str(error) or "none").splitlines()[0]
            raise click.ClickException(f"Expected more free memory, got {got} (--device): {do}") from None


def _lighter(group: click.Group, ctx: click.Context) -> str:
    """What the command that ran out of memory has for it."""
    command = group.get_command(ctx, ctx.invoked_subcommand or "")
    has = {option for parameter in command.params for option in parameter.opts} if command else set()
    return ", or ".join(way for option, way in LIGHTER.items() if option in has) or "end other programs"
