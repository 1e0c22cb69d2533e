"""Commands about images, labels and stores."""

import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from galaxy_triton.cli import options
from galaxy_triton.cli.help import example
from galaxy_triton.cli.options import CSV, EXISTING, NEW
from galaxy_triton.config.recipes import RECIPES, SEED
from galaxy_triton.config.schema import TABLES, Preprocess, smallest_view
from galaxy_triton.system.errors import command


@click.command()
@click.argument("images", type=EXISTING)
@click.option("--labels", type=CSV, help="Table with GalaxyID and 37 columns; may be in a zip.  [default: none]")
@click.option("--out", type=NEW, required=True, help="The new store.")
@click.option("--size", default=160, show_default=True, help="Side of the stored images, pixels.")
@click.option("--crop", type=int, help="Side of the centre crop before resizing, pixels.  [default: whole frame]")
@options.workers
@options.skip_bad
@options.quiet
@example("galaxy-triton pack images_training_rev1.zip --labels training_solutions_rev1.csv --out gz.store")
def pack(images: Path, labels: Path | None, out: Path, quiet: bool, **asked: Any) -> None:
    """Pack IMAGES (a folder of JPEG, PNG or TIFF, or Kaggle's zip) and their labels into a store."""
    from galaxy_triton.data.pack import pack as run
    from galaxy_triton.system.console import Display

    display = Display(quiet=quiet)
    with display.progress("packing", "images") as show:
        summary = run(images, labels, out, progress=show, **asked)
    display.say(f"{summary.images} images of {summary.preprocess.size} px, {summary.labelled} with labels, in {out}")
    for mode, count in summary.converted.items():
        display.warn(f"{count} images were {mode} and became RGB")
    if labels and summary.labelled < summary.images:
        display.warn(f"{summary.images - summary.labelled} images have no label")
    if summary.off_tree:
        see = command("check", "--kind", "labels", labels)
        display.warn(f"{summary.off_tree} labels are off the decision tree, as predictions may be; see {see}")
    if summary.labels_without_images:
        display.warn(f"{summary.labels_without_images} labels have no image")
    display.warn_of_left_out(summary.skipped)
    display.note(f"next: {_after_pack(out, summary.preprocess, labelled=summary.labelled > 0)}")


def _after_pack(store: Path, packed: Preprocess, *, labelled: bool) -> str:
    """The next command: training with the recipe that such a store is for, or with `seed` made to take it."""
    recipe = next((each for each in RECIPES.values() if each.preprocess == packed), SEED)
    if not labelled or packed.size < smallest_view(recipe.network):
        return command("info", store)
    changed = sorted(asdict(packed).items() - asdict(recipe.preprocess).items())
    settings = [f"--set=preprocess.{name}={value}" for name, value in changed]
    settings += [f"--view-size={packed.size}"] * (packed.size < recipe.augmentation.size)
    return command("train", store, "--recipe", recipe.recipe, *settings)


@click.command()
@click.argument("out", type=NEW)
@click.option("--count", default=2000, show_default=True, type=click.IntRange(1), help="Galaxies.")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="Of every random draw.")
@click.option("--volunteers", default=40, show_default=True, type=click.IntRange(1), help="Who answer each galaxy.")
@options.workers
@options.quiet
@example("galaxy-triton simulate sky --count 2000")
def simulate(out: Path, count: int, quiet: bool, **asked: Any) -> None:
    """Draw galaxies of known structure into the new folder OUT, in Kaggle's layout, with volunteers' answers."""
    from galaxy_triton.simulation.sky import IMAGES, VOTES
    from galaxy_triton.simulation.sky import simulate as run
    from galaxy_triton.system.console import Display

    display = Display(quiet=quiet)
    with display.progress("drawing", "galaxies") as show:
        noise_floor = run(out, count, progress=show, **asked)
    display.say(f"{count} galaxies in {out / IMAGES}, answers in {out / VOTES}")
    display.say(f"noise floor: the true probabilities score RMSE {noise_floor:.4f} against these answers")
    packed = ("--labels", out / VOTES, "--out", f"{out}.store")
    display.note(f"next: {command('pack', out / IMAGES, *packed)}")


@click.command()
@click.argument("store", type=EXISTING)
@click.option("--verify/--no-verify", default=False, show_default=True, help="Read all pixels and check their hashes.")
@click.option("--montage", type=NEW, help="Write a PNG of sample images here.  [default: none]")
@click.option("--count", default=48, show_default=True, help="Images in the montage.")
@options.overwrite
@options.quiet
@example("galaxy-triton info gz.store --verify --montage gz.png")
def info(store: Path, verify: bool, montage: Path | None, count: int, overwrite: bool, quiet: bool) -> None:
    """Show what STORE holds, and how well its labels obey the decision tree."""
    from galaxy_triton.data import inspect
    from galaxy_triton.data import store as stores
    from galaxy_triton.system.console import Display
    from galaxy_triton.system.output_paths import check_file
    from galaxy_triton.system.whole_files import whole_file

    if montage:
        check_file(montage, "--montage", (".png",), overwrite)
    display, opened = Display(quiet=quiet), stores.open_store(store)
    for name, text in inspect.describe(opened):
        display.result(name, text)
    if verify:
        with display.progress("verifying", "images") as show:
            stores.verify(opened, show)
        display.result("verified", "every block matches its hash")
    if montage:
        # bytes first: on a full disk Pillow's own writer can leave half an image and say nothing
        content = io.BytesIO()
        inspect.montage(opened, count).save(content, format="PNG")
        with whole_file(montage, replace=overwrite) as temporary:
            temporary.write_bytes(content.getvalue())
        display.result("montage", f"{montage}")


@click.command()
@click.argument("table", type=CSV)
@click.option("--like", type=EXISTING, help="Store, images or table whose ids it should have.  [default: none]")
@click.option(
    "--kind",
    type=click.Choice(TABLES),
    default=TABLES[0],
    show_default=True,
    help="What it is; auto: conditional by its columns, labels if the tree holds in half of the rows, or predictions.",
)
@click.option("--tolerance", default=1e-5, show_default=True, help="Of the tree's sums; labels have six digits.")
@click.option("--strict", help="Take every note for a fault.", **options.FLAG)
@options.quiet
@example("galaxy-triton check submission.csv --like images_test_rev1.zip --kind submission")
@click.pass_context
def check(ctx: click.Context, /, table: Path, like: Path | None, quiet: bool, **asked: Any) -> None:
    """Check a TABLE, a CSV or a zip that holds one: columns, ids, values, and the decision tree's sums.

    All that is wrong is said, not only the first. The tree's sums must hold in labels, Kaggle's order of columns and
    whole numbers as ids in a submission; elsewhere they are noted. In a conditional table, as `predict --layout
    conditional` writes it, the answers of a question must sum to 1. Exit code 1 on a fault.
    """
    from galaxy_triton.data.names import read_galaxies
    from galaxy_triton.galaxyzoo.check import CheckOptions
    from galaxy_triton.galaxyzoo.check import check as run
    from galaxy_triton.system.console import Display

    display = Display(quiet=quiet)
    found = run(table, CheckOptions(like=None if like is None else read_galaxies(like), **asked))
    for finding in found.findings:
        show = display.say if finding.broken else display.note
        show(str(finding))
    verdict = f"{found.faults} of {len(found.findings)} rules broken" if found.faults else "sound"
    display.say(f"{table}: {verdict}; {found.rows:,} rows, checked as {found.kind}")
    ctx.exit(1 if found.faults else 0)


@click.command()
@click.argument("store", type=EXISTING)
@click.option("--ids", type=CSV, help="Score these ids, learn on the others.  [default: cross-validate all]")
@click.option("--folds", default=5, show_default=True, help="Of the cross-validation.")
@click.option("--clusters", default=6, show_default=True, help="Of the central-pixel benchmark.")
@options.quiet
@example("galaxy-triton baseline gz.store --ids validation.csv")
def baseline(store: Path, ids: Path | None, quiet: bool, **asked: int) -> None:
    """RMSE of answers that need no network: zeros, ones, the training mean, the central pixel."""
    from galaxy_triton.data.store import open_store
    from galaxy_triton.evaluate.baseline import baselines
    from galaxy_triton.galaxyzoo.tables import read_names
    from galaxy_triton.system.console import Display

    display = Display(quiet=quiet)
    with display.progress("reading", "images") as show:
        chosen = read_names(ids) if ids else None
        found = baselines(open_store(store), chosen, progress=show, **asked)
    display.say(f"RMSE over {found.images} galaxies and 37 columns")
    for name in ("zeros", "ones", "mean", "central_pixel"):
        display.say(f"  {name.replace('_', ' '):<14} {getattr(found, name):.4f}")
