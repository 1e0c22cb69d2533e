"""The command line: options in, a call, text out. Nothing here imports torch before a command needs it."""

import click
from click.shell_completion import get_completion_class

from galaxy_triton import __version__
from galaxy_triton.cli import data as cli_store
from galaxy_triton.cli import options
from galaxy_triton.cli import runs as cli_run
from galaxy_triton.cli import train as cli_train
from galaxy_triton.cli.exit_codes import Endings
from galaxy_triton.cli.options import example


@click.group(cls=Endings, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="galaxy-triton")
def main() -> None:
    """Train networks on Galaxy Zoo images that live in GPU memory, and predict the 37 answers.

    \b
    `galaxy-triton train` alone learns from a simulated sky. With images of your own:
    pack -> info, baseline -> train -> report, evaluate -> predict
    """


@click.command()
@click.option("--clear", help="Remove everything that is kept.", **options.FLAG)
@example("galaxy-triton cache --clear")
def cache(clear: bool) -> None:
    """List what `train` without a STORE keeps in the user's cache, or remove it."""
    from galaxy_triton.simulation import first_run

    entries = first_run.clear_cache() if clear else first_run.cached()
    for entry in entries:
        click.echo(f"{'removed  ' * clear}{entry.bytes / 2**20:8.1f} MiB  {entry.path}")
    if not entries:
        click.echo(f"Nothing is kept in {first_run.cache_root()}")


@click.command()
@example("galaxy-triton doctor > report.txt")
@click.pass_context
def doctor(ctx: click.Context, /) -> None:
    """Examine this machine; on a CUDA GPU, also check the kernels. Exit code 1 on a fault."""
    from galaxy_triton.model.doctor import examine

    sound = True
    for line, fault in examine():
        click.echo(f"FAULT {line}" if fault else line)
        sound = sound and not fault
    ctx.exit(0 if sound else 1)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@example("galaxy-triton completion bash >> ~/.bashrc")
def completion(shell: str) -> None:
    """Print what makes SHELL complete commands, options and their values on the Tab key."""
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"Expected a shell that click can complete in, got {shell}: update click")
    click.echo(kind(main, {}, "galaxy-triton", "_GALAXY_TRITON_COMPLETE").source())


COMMANDS = (
    cli_store.pack,
    cli_store.simulate,
    cli_store.info,
    cli_store.check,
    cli_store.baseline,
    cli_train.train,
    cli_train.ablate,
    cli_train.sweep,
    cli_run.report,
    cli_run.evaluate,
    cli_run.predict,
    cli_run.export,
    cache,
    doctor,
    completion,
)
for command in COMMANDS:
    main.add_command(command)
