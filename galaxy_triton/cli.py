"""The command line: options in, a call, text out. Nothing here imports torch before a command needs it."""

import io
from pathlib import Path
from typing import Any

import click
from click.shell_completion import get_completion_class

from galaxy_triton import __version__, ladder, options
from galaxy_triton.endings import Endings
from galaxy_triton.options import CSV, EXISTING, NEW, example


@click.group(cls=Endings, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="galaxy-triton")
def main() -> None:
    """Train networks on Galaxy Zoo images that live in GPU memory, and predict the 37 answers.

    \b
    `galaxy-triton train` alone learns from a simulated sky. With images of your own:
    pack -> info, baseline -> train -> report, evaluate -> predict
    """


@main.command()
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
    from galaxy_triton.display import Display
    from galaxy_triton.pack import pack as run

    display = Display(quiet=quiet)
    with display.progress("packing", "images") as show:
        summary = run(images, labels, out, progress=show, **asked)
    display.say(f"{summary.images} images of {summary.preprocess.size} px, {summary.labelled} with labels, in {out}")
    for mode, count in summary.converted.items():
        display.warn(f"{count} images were {mode} and became RGB")
    if labels and summary.images_without_labels:
        display.warn(f"{summary.images_without_labels} images have no label")
    if summary.labels_without_images:
        display.warn(f"{summary.labels_without_images} labels have no image")
    _warn_of_left_out(display, summary.skipped)


@main.command()
@click.argument("out", type=NEW)
@click.option("--count", default=2000, show_default=True, type=click.IntRange(1), help="Galaxies.")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="Of every random draw.")
@click.option("--volunteers", default=40, show_default=True, type=click.IntRange(1), help="Who answer each galaxy.")
@options.workers
@options.quiet
@example("galaxy-triton simulate sky --count 2000")
def simulate(out: Path, quiet: bool, **asked: Any) -> None:
    """Draw galaxies of known structure into the new folder OUT, in Kaggle's layout, with volunteers' answers."""
    from galaxy_triton.display import Display
    from galaxy_triton.simulate import simulate as run

    display = Display(quiet=quiet)
    with display.progress("drawing", "galaxies") as show:
        summary = run(out, progress=show, **asked)
    display.say(f"{summary.count} galaxies in {summary.images}, answers in {summary.labels}")
    display.say(f"noise floor: the true probabilities score RMSE {summary.noise_floor:.4f} against these answers")


@main.command()
@click.argument("store", type=EXISTING)
@click.option("--verify/--no-verify", default=False, show_default=True, help="Read all pixels and check their hashes.")
@click.option("--montage", type=NEW, help="Write a PNG of sample images here.  [default: none]")
@click.option("--count", default=48, show_default=True, help="Images in the montage.")
@options.quiet
@example("galaxy-triton info gz.store --verify --montage gz.png")
def info(store: Path, verify: bool, montage: Path | None, count: int, quiet: bool) -> None:
    """Show what STORE holds, and how well its labels obey the decision tree."""
    from galaxy_triton import files
    from galaxy_triton import store as stores
    from galaxy_triton.display import Display

    display, opened = Display(quiet=quiet), stores.open_store(store)
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
        # bytes first: on a full disk Pillow's own writer can leave half an image and say nothing
        content = io.BytesIO()
        stores.montage(opened, count, 8).save(content, format="PNG")
        with files.whole_file(montage) as temporary:
            temporary.write_bytes(content.getvalue())
        display.say(f"montage     {montage}")


@main.command()
@click.argument("store", type=EXISTING)
@click.option("--ids", type=CSV, help="Score these ids, learn on the others.  [default: cross-validate all]")
@click.option("--folds", default=5, show_default=True, help="Of the cross-validation.")
@click.option("--clusters", default=6, show_default=True, help="Of the central-pixel benchmark.")
@options.quiet
@example("galaxy-triton baseline gz.store --ids held_out.csv")
def baseline(store: Path, ids: Path | None, quiet: bool, **asked: int) -> None:
    """RMSE of answers that need no network: zeros, ones, the training mean, the central pixel."""
    from galaxy_triton.baseline import baselines
    from galaxy_triton.display import Display
    from galaxy_triton.store import open_store
    from galaxy_triton.table import read_ids

    display = Display(quiet=quiet)
    with display.progress("reading", "images") as show:
        chosen = read_ids(ids) if ids else None
        found = baselines(open_store(store), chosen, progress=show, **asked)
    display.say(f"RMSE over {found.images} galaxies and 37 columns")
    for name in ("zeros", "ones", "mean", "central_pixel"):
        display.say(f"  {name.replace('_', ' '):<14} {getattr(found, name):.4f}")


@main.command()
@click.argument("store", type=EXISTING, required=False)
@options.describing
@click.option("--run", type=NEW, help="The run's folder.  [default: runs/RECIPE-TIME]")
@click.option("--resume/--from-start", default=False, show_default=True, help="Go on with --run where it stopped.")
@click.option("--profile", type=NEW, help="Record a few steps into this .json(.gz) trace.  [default: none]")
@options.dry_run
@options.quiet
@example("galaxy-triton train gz.store --recipe best --validation held_out.csv --run runs/first")
def train(fields: tuple[str, ...], validation: str | None, dry_run: bool, quiet: bool, **asked: Any) -> None:
    """Train a network on STORE, saving after every epoch, and write its report.

    Without STORE it learns from a small simulated sky, which is drawn once and kept in the user's cache. An option not
    given keeps the recipe's value. Ctrl-C saves and says how to go on (exit code 130); so do SIGTERM and SIGUSR1, with
    exit code 75: start again with --resume. Under torchrun each process takes its part of every batch.
    """
    from galaxy_triton.display import Display
    from galaxy_triton.launch import describe, launch
    from galaxy_triton.request import Request

    settings, held_out = options.settings_of(asked, fields, validation)
    fit_batch = options.take_auto_batch(settings)
    request = Request(settings=settings, held_out=held_out, fit_batch=fit_batch, **asked)
    (describe if dry_run else launch)(request, Display(quiet=quiet))


@main.command()
@click.argument("store", type=EXISTING)
@click.option("--out", type=NEW, required=True, help="The new folder for the table, as CSV and JSON, and its picture.")
@click.option("--images", type=EXISTING, help="What STORE was packed from, for the seed's rows.  [default: none]")
@options.ablating
@click.option("--steps", default=500, show_default=True, type=click.IntRange(1), help="Of each training.")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(0, 10), help="Trainings of each row.")
@click.option("--timed-steps", "timed", type=click.IntRange(1), help="On the clock.  [default: 20; 50 on CUDA]")
@click.option("--workers", type=click.IntRange(0), help="Of the seed's DataLoader.  [default: one a core]")
@click.option("--rows", multiple=True, type=click.Choice(ladder.KEYS), help="Measure this row.  [default: every row]")
@options.dry_run
@options.quiet
@example("galaxy-triton ablate gz.store --images images_training_rev1.zip --recipe best --out ablation")
def ablate(
    store: Path, fields: tuple[str, ...], validation: str | None, dry_run: bool, quiet: bool, **asked: Any
) -> None:
    """Measure what each part of training brings on STORE: speed, memory, and RMSE after the same steps.

    From the seed's pipeline (image files through torchvision and a DataLoader, fp32) one part is added a row; then each
    is taken out of the full set; then torch.compile alone. What cannot run here is absent, with its reason.
    """
    from galaxy_triton import ablate as ablating
    from galaxy_triton.display import Display
    from galaxy_triton.request import Request

    settings, held_out = options.settings_of(asked, fields, validation)
    of_request = {name: asked.pop(name) for name in ("recipe", "config_file")}
    request = Request(store, settings=settings, held_out=held_out, **of_request)
    (ablating.describe if dry_run else ablating.ablate)(ablating.Asked(request, **asked), Display(quiet=quiet))


@main.command()
@click.argument("run", type=EXISTING)
@click.option("--store", type=EXISTING, help="What the run was trained on.  [default: where it lay then]")
@options.asking
@options.quiet
@example("galaxy-triton report runs/first")
def report(run: Path, quiet: bool, **asked: Any) -> None:
    """Draw a RUN's report: report.html, which needs nothing else, and its figures in plots/."""
    from galaxy_triton.display import Display
    from galaxy_triton.report import Asked, write_report

    display = Display(quiet=quiet)
    display.say(f"report  {write_report(run, Asked(**asked), display).page}")


@main.command()
@click.argument("run", type=EXISTING)
@click.argument("store", type=EXISTING, required=False)
@click.option("--ids", type=CSV, help="Score these ids.  [default: what the run held out]")
@click.option("--against", type=CSV, help="Other answers, compared galaxy by galaxy.  [default: none]")
@options.asking
@options.quiet
@example("galaxy-triton evaluate runs/first gz.store --ids held_out.csv --views 16")
def evaluate(run: Path, store: Path | None, quiet: bool, **asked: Any) -> None:
    """RMSE of a RUN's network on STORE (or on what it was trained on): overall and by question, with 95 % intervals."""
    from galaxy_triton.display import Display
    from galaxy_triton.evaluate import Asked
    from galaxy_triton.evaluate import evaluate as score

    display = Display(quiet=quiet)
    found = score(run, store, Asked(**asked), display)
    low, high = found.score.interval
    display.say(f"RMSE {found.score.rmse:.4f}  [{low:.4f}, {high:.4f}]  {found.score.galaxies} galaxies, 37 columns")
    for name, (value, low, high) in found.score.questions.items():
        display.say(f"  {name:<14} {value:.4f}  [{low:.4f}, {high:.4f}]")
    if found.difference:
        value, low, high = found.difference
        interval = f"[{low:.4f}, {high:.4f}]"
        display.say(f"lower than {asked['against']} by {value:.4f}  {interval}  paired; below 0 is higher")
    if found.trained_on:
        display.warn(f"the run trained on {found.trained_on} of these galaxies")
    if found.chosen_on:
        display.warn("`best` was chosen on some of these galaxies, so the figure flatters it")


@main.command()
@click.argument("run", type=EXISTING)
@click.argument("source", type=EXISTING)
@click.option("--out", type=NEW, required=True, help="The CSV to write.")
@options.workers
@options.skip_bad
@options.asking
@options.dry_run
@options.quiet
@example("galaxy-triton predict runs/first images_test_rev1.zip --out submission.csv")
def predict(run: Path, source: Path, out: Path, dry_run: bool, quiet: bool, **asked: Any) -> None:
    """Answer every image of SOURCE (a store, a folder or a zip) with a RUN's network, in Kaggle's format.

    Under torchrun the processes share the images, and the rows are those of one process.
    """
    from galaxy_triton import predict as predicting
    from galaxy_triton.display import Display

    display = Display(quiet=quiet)
    if dry_run:
        predicting.describe(run, source, out, predicting.Asked(**asked), display)
        return
    written = predicting.predict(run, source, out, predicting.Asked(**asked), display)
    if written is not None:
        display.say(f"{written.rows} rows in {out}")
        _warn_of_left_out(display, written.skipped)


@main.command()
@click.option("--clear", help="Remove everything that is kept.", **options.FLAG)
@example("galaxy-triton cache --clear")
def cache(clear: bool) -> None:
    """List what `train` without a STORE keeps in the user's cache, or remove it."""
    from galaxy_triton import cache as caches

    entries = caches.clear() if clear else caches.kept()
    for entry in entries:
        click.echo(f"{'removed  ' * clear}{entry.bytes / 2**20:8.1f} MiB  {entry.path}")
    if not entries:
        click.echo(f"Nothing is kept in {caches.root()}")


@main.command()
@example("galaxy-triton doctor > report.txt")
@click.pass_context
def doctor(ctx: click.Context, /) -> None:
    """Examine this machine; on a CUDA GPU, also check the kernels. Exit code 1 on a fault."""
    from galaxy_triton.doctor import examine

    sound = True
    for line, fault in examine():
        click.echo(f"FAULT {line}" if fault else line)
        sound = sound and not fault
    ctx.exit(0 if sound else 1)


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@example("galaxy-triton completion bash >> ~/.bashrc")
def completion(shell: str) -> None:
    """Print what makes SHELL complete commands, options and their values on the Tab key."""
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"Expected a shell that click can complete in, got {shell}: update click")
    click.echo(kind(main, {}, "galaxy-triton", "_GALAXY_TRITON_COMPLETE").source())


def _warn_of_left_out(display: Any, messages: tuple[str, ...]) -> None:
    for message in messages:
        display.warn(f"left out: {message}")
