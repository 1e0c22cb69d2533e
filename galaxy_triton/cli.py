"""The command line: options in, a call, text out. Nothing here imports torch before a command needs it."""

from collections.abc import Callable
from functools import wraps
from inspect import cleandoc
from pathlib import Path
from typing import Any

import click

from galaxy_triton import __version__
from galaxy_triton.config import BODIES, DEVICES, HEADS, IMPLEMENTATIONS, MODELS, PRECISIONS, RECIPES
from galaxy_triton.errors import DataFault, UsageFault

EXISTING = click.Path(exists=True, path_type=Path)
CSV = click.Path(exists=True, dir_okay=False, path_type=Path)
NEW = click.Path(path_type=Path)


class _Faults(click.Group):
    """A fault of the user's ends with a message and its exit code, never with a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UsageFault as fault:
            raise click.UsageError(str(fault)) from None
        except DataFault as fault:
            raise click.ClickException(str(fault)) from None
        except RuntimeError as error:
            # torch's class, by name: torch is not imported here.
            if type(error).__name__ != "OutOfMemoryError":
                raise
            do = "lower --batch-size, or pack with a smaller --size; what was saved is whole"
            raise click.ClickException(f"Expected more memory on the GPU, got {error}: {do}") from None


def _example(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Put an example at the end of a command's help."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        command.__doc__ = f"{cleandoc(command.__doc__ or '')}\n\n\b\nExample:\n  {text}"
        return command

    return add


def _asking(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command that asks a trained network."""

    @click.option(
        "--views",
        default=16,
        show_default=True,
        type=click.IntRange(1),
        help="Fixed rotations and flips to average over.",
    )
    @click.option("--checkpoint", type=click.Choice(["last", "best"]), default="last", show_default=True)
    @click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True)
    @click.option("--batch-size", default=256, show_default=True, type=click.IntRange(1))
    @wraps(command)
    def with_options(**options: Any) -> Any:
        return command(**options)

    return with_options


@click.group(cls=_Faults, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="galaxy-triton")
def main() -> None:
    """Train networks on Galaxy Zoo images that live in GPU memory, and predict the 37 answers.

    \b
    (simulate) -> pack -> info, baseline -> train -> evaluate -> predict
    """


@main.command()
@click.argument("images", type=EXISTING)
@click.option("--labels", type=CSV, help="Table with GalaxyID and 37 columns; may be in a zip.  [default: none]")
@click.option("--out", type=NEW, required=True, help="The new store.")
@click.option("--size", default=160, show_default=True, help="Side of the stored images, pixels.")
@click.option("--crop", type=int, help="Side of the centre crop before resizing, pixels.  [default: whole frame]")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1), help="Threads that decode.")
@click.option("--skip-bad/--stop-at-bad", default=False, show_default=True, help="Leave out unreadable images.")
@_example("galaxy-triton pack images_training_rev1.zip --labels training_solutions_rev1.csv --out gz.store")
def pack(images: Path, labels: Path | None, out: Path, **options: Any) -> None:
    """Pack IMAGES (a folder of JPEG, PNG or TIFF, or Kaggle's zip) and their labels into a store."""
    from galaxy_triton.display import Display
    from galaxy_triton.pack import pack as run

    display = Display()
    with display.progress("packing", "images") as show:
        summary = run(images, labels, out, progress=show, **options)
    display.say(f"{summary.images} images of {summary.preprocess.size} px, {summary.labelled} with labels, in {out}")
    for mode, count in summary.converted.items():
        display.say(f"Warning: {count} images were {mode} and became RGB")
    if labels and summary.images_without_labels:
        display.say(f"Warning: {summary.images_without_labels} images have no label")
    if summary.labels_without_images:
        display.say(f"Warning: {summary.labels_without_images} labels have no image")
    for message in summary.skipped:
        display.say(f"Left out: {message}")


@main.command()
@click.argument("out", type=NEW)
@click.option("--count", default=2000, show_default=True, type=click.IntRange(1), help="Galaxies.")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="Of every random draw.")
@click.option("--volunteers", default=40, show_default=True, type=click.IntRange(1), help="Who answer each galaxy.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1), help="Threads that draw.")
@_example("galaxy-triton simulate sky --count 2000")
def simulate(out: Path, **options: Any) -> None:
    """Draw galaxies of known structure into the new folder OUT, in Kaggle's layout, with volunteers' answers."""
    from galaxy_triton.display import Display
    from galaxy_triton.simulate import simulate as run

    display = Display()
    with display.progress("drawing", "galaxies") as show:
        summary = run(out, progress=show, **options)
    display.say(f"{summary.count} galaxies in {summary.images}, answers in {summary.labels}")
    display.say(f"noise floor: the true probabilities score RMSE {summary.noise_floor:.4f} against these answers")


@main.command()
@click.argument("store", type=EXISTING)
@click.option("--verify/--no-verify", default=False, show_default=True, help="Read all pixels and check their hashes.")
@click.option("--montage", type=NEW, help="Write a PNG of sample images here.  [default: none]")
@click.option("--count", default=48, show_default=True, help="Images in the montage.")
@_example("galaxy-triton info gz.store --verify --montage gz.png")
def info(store: Path, verify: bool, montage: Path | None, count: int) -> None:
    """Show what STORE holds, and how well its labels obey the decision tree."""
    from galaxy_triton import files
    from galaxy_triton import store as stores
    from galaxy_triton.display import Display

    display, opened = Display(), stores.open_store(store)
    found = stores.describe(opened)
    display.say(f"images      {found.images}, {found.size} x {found.size} px, {found.bytes:,} bytes")
    display.say(f"prepared    {opened.preprocess}")
    display.say(f"labelled    {found.labelled}")
    for question, violation in found.violations.items():
        display.say(f"tree        {question:<14} sums are off by {violation:.2e} at most")
    if verify:
        with display.progress("verifying", "images") as show:
            stores.verify(opened, show)
        display.say("verified    every block matches its hash")
    if montage:
        with files.whole_file(montage) as temporary:
            stores.montage(opened, count, 8).save(temporary, format="PNG")
        display.say(f"montage     {montage}")


@main.command()
@click.argument("store", type=EXISTING)
@click.option("--ids", type=CSV, help="Score these ids, learn on the others.  [default: cross-validate all]")
@click.option("--folds", default=5, show_default=True, help="Of the cross-validation.")
@click.option("--clusters", default=6, show_default=True, help="Of the central-pixel benchmark.")
@_example("galaxy-triton baseline gz.store --ids held_out.csv")
def baseline(store: Path, ids: Path | None, folds: int, clusters: int) -> None:
    """RMSE of answers that need no network: zeros, ones, the training mean, the central pixel."""
    from galaxy_triton.baseline import baselines
    from galaxy_triton.display import Display
    from galaxy_triton.store import open_store
    from galaxy_triton.table import read_ids

    display = Display()
    with display.progress("reading", "images") as show:
        chosen = read_ids(ids) if ids else None
        found = baselines(open_store(store), chosen, folds=folds, clusters=clusters, progress=show)
    display.say(f"RMSE over {found.images} galaxies and 37 columns")
    for name in ("zeros", "ones", "mean", "central_pixel"):
        display.say(f"  {name.replace('_', ' '):<14} {getattr(found, name):.4f}")


# An option of `train` -> the configuration field it sets.
TRAIN_FIELDS = {
    "model": "network.name",
    "width": "network.widths",
    "convs": "network.convs",
    "head": "network.head",
    "epochs": "run.epochs",
    "batch_size": "run.batch_size",
    "lr": "optimiser.lr",
    "seed": "run.seed",
    "device": "run.device",
    "precision": "run.precision",
    "augment": "run.augment",
    "loss": "run.loss",
    "body": "run.body",
    "deterministic": "run.deterministic",
}
RECIPES_OWN = "the recipe's"


@main.command()
@click.argument("store", type=EXISTING)
@click.option("--recipe", type=click.Choice(list(RECIPES)), default="seed", show_default=True)
@click.option("--config", "config_file", type=CSV, help="TOML file of fields over the recipe.  [default: none]")
@click.option(
    "--set", "fields", multiple=True, metavar="KEY=VALUE", help="Any field, e.g. run.views=8.  [default: none]"
)
@click.option("--model", type=click.Choice(MODELS), help="vgg11, vgg16 with batch norm.", show_default=RECIPES_OWN)
@click.option("--width", help="Channels of galaxy-vgg's blocks, e.g. 64,128,256.", show_default=RECIPES_OWN)
@click.option("--convs", type=click.IntRange(1, 2), help="3x3 convolutions a block.", show_default=RECIPES_OWN)
@click.option("--head", type=click.Choice(HEADS), show_default=RECIPES_OWN)
@click.option("--epochs", type=click.IntRange(1), show_default=RECIPES_OWN)
@click.option("--batch-size", type=click.IntRange(1), show_default=RECIPES_OWN)
@click.option("--lr", type=float, help="Peak learning rate.", show_default=RECIPES_OWN)
@click.option("--seed", type=click.IntRange(0), help="Of every random draw.", show_default=RECIPES_OWN)
@click.option("--validation", help="Fraction to hold out, or a CSV of ids.", show_default=RECIPES_OWN)
@click.option("--device", type=click.Choice(DEVICES), show_default=RECIPES_OWN)
@click.option("--precision", type=click.Choice(PRECISIONS), show_default=RECIPES_OWN)
@click.option("--augment", type=click.Choice(IMPLEMENTATIONS), show_default=RECIPES_OWN)
@click.option("--loss", type=click.Choice(IMPLEMENTATIONS), show_default=RECIPES_OWN)
@click.option("--body", type=click.Choice(BODIES), show_default=RECIPES_OWN)
@click.option("--deterministic/--fastest", default=None, help="Same bits every time.", show_default=RECIPES_OWN)
@click.option("--run", type=NEW, help="The run's folder.  [default: runs/RECIPE-TIME]")
@click.option("--resume/--from-start", default=False, show_default=True, help="Go on with --run where it stopped.")
@_example("galaxy-triton train gz.store --recipe best --validation held_out.csv --run runs/first")
@click.pass_context
def train(ctx: click.Context, /, store: Path, fields: tuple[str, ...], validation: str | None, **options: Any) -> None:
    """Train a network on STORE, saving after every epoch.

    Ctrl-C saves and says how to go on; an option not given keeps the recipe's value.
    """
    from galaxy_triton.display import Display
    from galaxy_triton.launch import Request, launch

    settings = {TRAIN_FIELDS[name]: options.pop(name) for name in TRAIN_FIELDS}
    settings = {name: value for name, value in settings.items() if value is not None} | dict(map(_pair, fields))
    held_out = None
    if validation is not None:
        held_out = _held_out(validation, settings)
    if not launch(Request(store, settings=settings, held_out=held_out, **options), Display()):
        ctx.exit(130)


@main.command()
@click.argument("run", type=EXISTING)
@click.argument("store", type=EXISTING)
@click.option("--ids", type=CSV, help="Score these ids.  [default: what the run held out]")
@click.option("--against", type=CSV, help="Other answers, compared galaxy by galaxy.  [default: none]")
@_asking
@_example("galaxy-triton evaluate runs/first gz.store --ids held_out.csv --views 16")
def evaluate(run: Path, store: Path, checkpoint: str, **options: Any) -> None:
    """RMSE of a RUN's network on STORE: overall and by question, with 95 % bootstrap intervals."""
    from galaxy_triton.display import Display
    from galaxy_triton.evaluate import Asked
    from galaxy_triton.evaluate import evaluate as score

    display = Display()
    found = score(run, store, Asked(which=checkpoint, **options), display)
    low, high = found.score.interval
    display.say(f"RMSE {found.score.rmse:.4f}  [{low:.4f}, {high:.4f}]  {found.score.galaxies} galaxies, 37 columns")
    for name, (value, low, high) in found.score.questions.items():
        display.say(f"  {name:<14} {value:.4f}  [{low:.4f}, {high:.4f}]")
    if found.difference:
        value, low, high = found.difference
        display.say(f"lower than {options['against']} by {value:.4f}  [{low:.4f}, {high:.4f}]  paired")
    if found.trained_on:
        display.say(f"Warning: the run trained on {found.trained_on} of these galaxies")
    if found.chosen_on:
        display.say("Warning: `best` was chosen on some of these galaxies, so the figure flatters it")


@main.command()
@click.argument("run", type=EXISTING)
@click.argument("source", type=EXISTING)
@click.option("--out", type=NEW, required=True, help="The CSV to write.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1), help="Threads that decode images.")
@click.option("--skip-bad/--stop-at-bad", default=False, show_default=True, help="Leave out unreadable images.")
@_asking
@_example("galaxy-triton predict runs/first images_test_rev1.zip --out submission.csv")
def predict(run: Path, source: Path, out: Path, checkpoint: str, **options: Any) -> None:
    """Answer every image of SOURCE (a store, a folder or a zip) with a RUN's network, in Kaggle's format."""
    from galaxy_triton.display import Display
    from galaxy_triton.predict import Asked
    from galaxy_triton.predict import predict as ask

    display = Display()
    written = ask(run, source, out, Asked(which=checkpoint, **options), display)
    display.say(f"{written.rows} rows in {out}")
    for message in written.skipped:
        display.say(f"Left out: {message}")


@main.command()
@_example("galaxy-triton doctor > report.txt")
@click.pass_context
def doctor(ctx: click.Context, /) -> None:
    """Examine this machine; on a CUDA GPU, also check the kernels. Exit code 1 on a fault."""
    from galaxy_triton.doctor import examine

    sound = True
    for line, fault in examine():
        click.echo(f"FAULT {line}" if fault else line)
        sound = sound and not fault
    ctx.exit(0 if sound else 1)


def _pair(field: str) -> tuple[str, str]:
    key, equals, value = field.partition("=")
    if not equals:
        raise click.UsageError(f"Expected KEY=VALUE, got {field!r} (--set): write for example optimiser.lr=1e-3")
    return key, value


def _held_out(validation: str, settings: dict[str, Any]) -> Path | None:
    """A fraction goes into the settings; a file's path is returned."""
    if Path(validation).is_file():
        return Path(validation)
    settings["run.validation"] = validation
    return None
