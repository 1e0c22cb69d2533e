"""How a command ends: exceptions become messages and exit codes, bugs alone a traceback."""

import errno
import sys
from typing import Any

import click

from galaxy_triton.system.errors import DataFault, Stopped, UsageFault, out_of_memory

# From an option to advice that lowers the memory of a command.
LIGHTER = {
    "--batch-size": "lower --batch-size",
    "--width": "lower --width",
    "--accumulate": "raise --accumulate",
    "--resident": "use --resident host",
    "--workers": "lower --workers",
}
FIXED = ("--batch-size", "--width", "--accumulate")  # of a run that is resumed
# From a missing module to what pip installs, where that has another name; a clone has our own.
PACKAGES = {"PIL": "pillow", "galaxy_triton": "."}


class CommandGroup(click.Group):
    """A click group that turns exceptions into messages and exit codes, and lists commands as they were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        resumed = "--resume" in ctx.args
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
            do = f"pip install {PACKAGES.get(name, name)}"
            raise click.ClickException(f"Expected the package {name}, got none ({sys.executable}): {do}") from None
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
            do = f"{_lighter(self, ctx, FIXED if resumed else ())}; what was saved is whole"
            got = (str(error) or "none").splitlines()[0]
            raise click.ClickException(f"Expected more free memory, got {got} (--device): {do}") from None


def _lighter(group: click.Group, ctx: click.Context, fixed: tuple[str, ...]) -> str:
    """Advice for a command that ran out of memory, by the options that it has, but those that are fixed."""
    command = group.get_command(ctx, ctx.invoked_subcommand or "")
    has = {option for parameter in command.params for option in parameter.opts} - set(fixed) if command else set()
    return ", or ".join(way for option, way in LIGHTER.items() if option in has) or "end other programs"
