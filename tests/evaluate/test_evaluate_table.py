"""An evaluation of a table of predictions: what its galaxies are called, and what it cannot be asked."""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from galaxy_triton.evaluate.evaluate import Asked, evaluate
from galaxy_triton.galaxyzoo.questions import COLUMNS, ID_COLUMN
from galaxy_triton.galaxyzoo.write_tables import write_answers
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import DataFault, UsageFault

NAMES = ["NGC 1300", "IC 10", "42"]


@pytest.fixture
def tables(tmp_path: Path) -> tuple[Path, Path]:
    """Predictions and labels of three galaxies, two of which have a name; the ids are the last column of the labels."""
    answers = np.random.default_rng(1).random((2, 3, 37))
    write_answers(tmp_path / "predictions.csv", [(NAMES[::-1], answers[0])])
    with (tmp_path / "labels.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow([*COLUMNS, ID_COLUMN])
        writer.writerows([*row, f" {name} "] for row, name in zip(answers[1].tolist(), NAMES, strict=True))
    return tmp_path / "predictions.csv", tmp_path / "labels.csv"


def ids_in(file: Path, *names: str) -> Path:
    file.write_text("\n".join(("GalaxyID", *names)) + "\n")
    return file


def test_galaxies_keep_their_names(tables: tuple[Path, Path], tmp_path: Path, succeed: Callable[..., str]) -> None:
    predictions, labels = tables
    succeed("evaluate", predictions, "--labels", labels, "--errors", tmp_path / "errors.csv")
    with (tmp_path / "errors.csv").open(newline="") as handle:
        assert sorted(row[ID_COLUMN] for row in csv.DictReader(handle)) == sorted(NAMES)


def test_faults_name_the_galaxy(
    tables: tuple[Path, Path], run: Path, sky: Any, display: Display, tmp_path: Path
) -> None:
    """One without a label, one without an answer, and one without an answer to compare with."""
    predictions, labels = tables
    write_answers(tmp_path / "one.csv", [(NAMES[2:], np.zeros((1, 37)))])
    unlabelled = Asked(labels=labels, ids=ids_in(tmp_path / "ids.csv", "42", "NGC 7"))
    for subject, store, asked, said in (
        (predictions, None, unlabelled, "others, NGC 7 the first"),
        (run, sky.store, Asked(device="cpu", ids=unlabelled.ids), "others, 42 the first"),
        (tmp_path / "one.csv", None, Asked(labels=labels, ids=ids_in(tmp_path / "2.csv", "IC 10")), "IC 10 the first"),
        (predictions, None, Asked(labels=labels, against=tmp_path / "one.csv"), "2 of them, (NGC 1300|IC 10) the fi"),
    ):
        with pytest.raises(DataFault, match=said):
            evaluate(subject, store, asked, display)


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("--views", {"views": 8}),
        ("--checkpoint", {"which": "best"}),
        ("--device", {"device": "cpu"}),
        ("--batch-size", {"batch_size": 8}),
        ("--consistency", {"consistency": 8}),
        ("--views and --batch-size and --consistency", {"views": 8, "batch_size": 8, "consistency": 8}),
    ],
)
@pytest.mark.parametrize("folds", [False, True])
def test_what_only_a_network_is_asked_is_refused(
    option: str, values: dict[str, Any], folds: bool, tables: tuple[Path, Path], display: Display
) -> None:
    """Of a table, and of the answers of a cross-validation; beside a table too."""
    predictions, labels = tables
    subject = as_folds(predictions) if folds else predictions
    for against in (None, predictions):
        with pytest.raises(UsageFault, match=f"^Expected {option} with a run, got a table .*: leave {option} out"):
            evaluate(subject, None, Asked(labels=labels, against=against, **values), display)


def test_what_a_run_beside_a_table_is_asked_counts(sky: Any, run: Path, display: Display) -> None:
    asked = Asked(labels=sky.labels, against=run, views=1, which="best", device="cpu", batch_size=8, consistency=0)
    one, two = (evaluate(sky.labels, None, replace(asked, views=views), display) for views in (1, 2))
    assert one.findings.comparison.lower.overall != two.findings.comparison.lower.overall
    with pytest.raises(UsageFault, match=r"^Expected --consistency with a run"):
        evaluate(sky.labels, None, replace(asked, consistency=8), display)


def as_folds(table: Path) -> Path:
    """The folder of a cross-validation whose answers are those of a table."""
    folder = table.parent / "cv"
    folder.mkdir()
    (folder / "folds.csv").write_text("GalaxyID,fold\n1,1\n")
    table.rename(folder / "out_of_fold.csv")
    table.symlink_to(folder / "out_of_fold.csv")
    return folder
