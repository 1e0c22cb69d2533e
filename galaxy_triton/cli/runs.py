"""Commands that ask a trained run."""

from pathlib import Path
from typing import Any

import click

from galaxy_triton.cli import options
from galaxy_triton.cli.help import example
from galaxy_triton.cli.options import CSV, EXISTING, NEW
from galaxy_triton.config.schema import LAYOUTS
from galaxy_triton.system.errors import command


@click.command()
@click.argument("run", type=EXISTING)
@click.option("--store", type=EXISTING, help="What the run was trained on.  [default: where it lay then]")
@options.judgement
@options.prediction
@options.quiet
@example("galaxy-triton report runs/first")
def report(run: Path, quiet: bool, **asked: Any) -> None:
    """Draw a RUN's report: report.html, which needs nothing else, and its figures in plots/."""
    from galaxy_triton.evaluate.report import PAGE, ReportOptions, write_report
    from galaxy_triton.system.console import Display

    display = Display(quiet=quiet)
    write_report(run, ReportOptions(**asked), display)
    display.say(f"report  {run / PAGE}")


@click.command()
@click.argument("run", type=EXISTING)
@click.argument("store", type=EXISTING, required=False)
@click.option("--ids", type=CSV, help="Score these ids.  [default: its validation galaxies]")
@click.option("--labels", type=CSV, help="The labels of a table of predictions.  [default: STORE's]")
@options.judgement
@click.option("--json", "json_file", type=NEW, help="Write all figures here too.  [default: none]")
@click.option("--errors", type=NEW, help="Write a CSV of every galaxy's RMSE, the worst first.  [default: none]")
@options.overwrite
@options.prediction
@options.quiet
@example("galaxy-triton evaluate runs/first gz.store --ids validation.csv --against runs/second")
def evaluate(
    run: Path,
    store: Path | None,
    json_file: Path | None,
    errors: Path | None,
    overwrite: bool,
    quiet: bool,
    **asked: Any,
) -> None:
    """How good a RUN's network is on STORE (or on what it was trained on): RMSE with 95 % intervals, and its trust.

    RUN may be a table of predictions too, whose labels are STORE's or those of --labels; or a cross-validation's
    folder, whose galaxies are each scored by the answer of the network that did not train on it.

    \b
    mean          RMSE of the mean answer, the same for every galaxy
    ECE           expected calibration error, in ten bins of predicted fraction
    slope         of people's fractions on predicted ones; below 1: too extreme
    tree gap      between the sum of a question's answers and the answer that leads to it
    """
    from galaxy_triton.evaluate import output
    from galaxy_triton.evaluate.evaluate import EvaluateOptions
    from galaxy_triton.evaluate.evaluate import evaluate as score
    from galaxy_triton.system.console import Display
    from galaxy_triton.system.output_paths import check_file

    for file, option, ending in ((json_file, "--json", ".json"), (errors, "--errors", ".csv")):
        if file:
            check_file(file, option, (ending,), overwrite)
    display = Display(quiet=quiet)
    found = score(run, store, EvaluateOptions(**asked), display)
    if json_file:
        output.write_json(json_file, found, replace=overwrite)
    if errors:
        output.write_errors(errors, found.findings.by_galaxy(), replace=overwrite)
    for line in output.lines(found):
        display.say(line)
    for line in output.warnings(found):
        display.warn(line)


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
@options.overwrite
@options.prediction
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
    from galaxy_triton.predict import submission as predicting
    from galaxy_triton.system.console import Display

    display = Display(quiet=quiet)
    written = predicting.predict(run, source, out, predicting.SubmissionOptions(**asked), display, dry_run)
    if written is not None:
        display.say(f"{written.rows} rows in {out}")
        display.warn_of_left_out(written.skipped)
        display.note(f"next: {command('check', out, '--like', source)}")


@click.command()
@click.argument("run", type=EXISTING)
@click.option("--out", type=NEW, required=True, help="The .pt2 file to write.")
@click.option("--compare", type=EXISTING, help="Images to compare on, 64 at most.  [default: simulated ones]")
@options.views
@options.checkpoint
@options.overwrite
@options.quiet
@example("galaxy-triton export runs/first --out galaxies.pt2 --compare images_test_rev1.zip")
def export(run: Path, out: Path, quiet: bool, **asked: Any) -> None:
    """Write a RUN's network as a program that needs nothing but torch: torch.export.load(FILE).module().

    It takes decoded images, uint8 [B, 3, frame, frame], and answers as `predict` does, with the crop, the resize and
    the views inside. It is compared with `predict` first: if an answer differs by more than 1e-5, nothing is written.
    """
    from galaxy_triton.predict.export import ExportOptions
    from galaxy_triton.predict.export import export as write
    from galaxy_triton.system.console import Display

    display = Display(quiet=quiet)
    found = write(run, out, ExportOptions(**asked), display)
    display.say(f"pixels   {found.pixels} bytes other than Pillow's, on {found.images} images")
    display.say(f"answers  at most {found.largest:.1e} from predict's, RMS {found.rms:.1e}")
    display.say(f"program  {out}, {out.stat().st_size / 2**20:.1f} MiB")
