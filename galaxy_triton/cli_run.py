"""Commands that ask a trained run."""

from pathlib import Path
from typing import Any

import click

from galaxy_triton import options
from galaxy_triton.config import LAYOUTS
from galaxy_triton.options import CSV, EXISTING, NEW, example


@click.command()
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


@click.command()
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


@click.command()
@click.argument("run", type=EXISTING)
@click.argument("source", type=EXISTING)
@click.option("--out", type=NEW, required=True, help="The CSV to write.")
@click.option(
    "--layout",
    type=click.Choice(LAYOUTS),
    default=LAYOUTS[0],
    show_default=True,
    help="Fractions of all people; of those asked the question, with spreads; or both.",
)
@options.workers
@options.skip_bad
@options.asking
@options.dry_run
@options.quiet
@example("galaxy-triton predict runs/first images_test_rev1.zip --out submission.csv")
def predict(run: Path, source: Path, out: Path, dry_run: bool, quiet: bool, **asked: Any) -> None:
    """Answer every image of SOURCE (a store, a folder or a zip) with a RUN's network.

    The table has Kaggle's 37 columns: fractions of all people. --layout conditional has the fractions of those who were
    asked the question, each with its spread, the standard deviation over the views; both are empty where fewer than
    one in forty were asked. --layout wide has it all.

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
        display.warn_of_left_out(written.skipped)


@click.command()
@click.argument("run", type=EXISTING)
@click.option("--out", type=NEW, required=True, help="The .pt2 file to write.")
@click.option("--compare", type=EXISTING, help="Images to compare on, 64 at most.  [default: simulated ones]")
@options.views
@options.checkpoint
@options.quiet
@example("galaxy-triton export runs/first --out galaxies.pt2 --compare images_test_rev1.zip")
def export(run: Path, out: Path, quiet: bool, **asked: Any) -> None:
    """Write a RUN's network as a program that needs nothing but torch: torch.export.load(FILE).module().

    It takes decoded images, uint8 [B, 3, frame, frame], and answers as `predict` does, with the crop, the resize and
    the views inside. It is compared with `predict` first: if an answer differs by more than 1e-5, nothing is written.
    """
    from galaxy_triton.display import Display
    from galaxy_triton.export import Asked
    from galaxy_triton.export import export as write

    display = Display(quiet=quiet)
    found = write(run, out, Asked(**asked), display)
    display.say(f"pixels   {found.pixels} bytes other than Pillow's, on {found.images} images")
    display.say(f"answers  at most {found.largest:.1e} from predict's, RMS {found.rms:.1e}")
    display.say(f"program  {out}, {out.stat().st_size / 2**20:.1f} MiB")
