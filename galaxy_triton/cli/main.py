"""The command line: options in, one call, text out. Nothing here imports torch before a command needs it."""

import click

from galaxy_triton import __version__
from galaxy_triton.cli import data, experiments, options, runs, train
from galaxy_triton.cli.exit_codes import CommandGroup
from galaxy_triton.cli.help import example


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="galaxy-triton")
def main() -> None:
    """Train networks on Galaxy Zoo images that live in GPU memory, and predict the 37 answers.

    \b
    `galaxy-triton train` alone learns from a simulated sky. With images of your own:
    pack -> info, baseline -> train -> report, evaluate -> predict -> check
    """


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
@click.option("--clear", help="Remove everything in the cache.", **options.FLAG)
@example("galaxy-triton cache --clear")
def cache(clear: bool) -> None:
    """List the simulated skies that `train` without a STORE keeps in the user's cache, or remove them."""
    from galaxy_triton.simulation.cache import cache_root, clear_cache, list_cache

    entries = clear_cache() if clear else list_cache()
    for entry in entries:
        click.echo(f"{'removed  ' * clear}{entry.bytes / 2**20:8.1f} MiB  {entry.path}")
    if not entries:
        click.echo(f"Nothing is kept in {cache_root()}")


# In the order of the pipeline.
COMMANDS = (
    doctor,
    data.simulate,
    data.pack,
    data.info,
    data.baseline,
    train.train,
    runs.report,
    runs.evaluate,
    runs.predict,
    data.check,
    runs.export,
    experiments.sweep,
    experiments.ablate,
    cache,
)
for command in COMMANDS:
    main.add_command(command)
