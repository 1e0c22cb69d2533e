"""Reports of damaged runs, with the wrong store, and of galaxies with hostile names."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from galaxy_triton.data.pack import pack
from galaxy_triton.data.store import open_store
from galaxy_triton.evaluate import report
from galaxy_triton.evaluate.report import ReportOptions, read_metrics, write_report
from galaxy_triton.galaxyzoo.write_tables import write_answers
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import DataFault
from tests.support.parsed_page import Page


@pytest.fixture
def copied(run: Path, tmp_path: Path) -> Path:
    """A run of one's own, to damage."""
    return shutil.copytree(run, tmp_path / "run")


def change_source(folder: Path, **values: str) -> None:
    file = folder / run_folder.SOURCE
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


DAMAGE: dict[str, Callable[[str], str]] = {
    "empty": lambda text: "",
    "header only": lambda text: text.splitlines(keepends=True)[0],
    "cut": lambda text: text[: len(text) * 3 // 4],
    "last digits cut": lambda text: text[:-3],
    "other columns": lambda text: text.replace("train_loss", "loss"),
    "a column less": lambda text: "\n".join(line.rpartition(",")[0] for line in text.splitlines()) + "\n",
    "a cell more": lambda text: text.replace("\n2,", "\n2,0,"),
    "a first row less": lambda text: "".join(text.splitlines(keepends=True)[::2]),
    "text": lambda text: text.replace("\n2,", "\n2,high"),
    "a negative loss": lambda text: text.replace("\n2,", "\n2,-"),
    "an infinite loss": lambda text: text.replace("\n2,", "\n2,1e999"),
    "no text at all": lambda text: "\x00\xff" * 40,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_metrics_are_a_fault(run: Path, tmp_path: Path, damage: str) -> None:
    file = tmp_path / "metrics.csv"
    file.write_text(DAMAGE[damage]((run / "metrics.csv").read_text()))
    with pytest.raises(DataFault, match=r"the run's metrics\.csv"):
        read_metrics(file)


def test_missing_metrics_are_a_fault_and_whole_ones_are_read(run: Path, tmp_path: Path) -> None:
    with pytest.raises(DataFault, match="No such file"):
        read_metrics(tmp_path / "metrics.csv")
    metrics = read_metrics(run / "metrics.csv")
    assert list(metrics["epoch"]) == [1, 2]


def test_another_store_is_a_fault_that_names_both(copied: Path, display: Display, sky: Any, tmp_path: Path) -> None:
    pack(sky.images, sky.labels, tmp_path / "other", size=20, workers=1)
    own, other = open_store(sky.store).hash[:12], open_store(tmp_path / "other").hash[:12]
    with pytest.raises(DataFault, match=f"{own}.*{other}"):
        write_report(copied, ReportOptions(store=tmp_path / "other"), display)


def test_a_store_that_moved_can_be_named(copied: Path, display: Display, sky: Any, tmp_path: Path) -> None:
    change_source(copied, store=str(tmp_path / "gone"))
    with pytest.raises(DataFault, match="gone"):
        write_report(copied, ReportOptions(views=1), display)
    assert write_report(copied, ReportOptions(store=sky.store, views=1), display).findings is not None


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("split.csv", "GalaxyID,part\n1,train\n", "labelled galaxies of the store"),
        ("split.csv", "GalaxyID,part\n", "labelled galaxies of the store"),
        ("started.json", "{}", "started.json"),
    ],
)
def test_a_damaged_run_is_a_fault(copied: Path, display: Display, name: str, content: str, words: str) -> None:
    (copied / name).write_text(content)
    with pytest.raises(DataFault, match=words):
        write_report(copied, ReportOptions(views=1), display)


def test_a_truth_of_other_galaxies_is_a_fault(copied: Path, display: Display, sky: Any, tmp_path: Path) -> None:
    write_answers(tmp_path / "truth.csv", [([1], sky.answers[:1])])
    change_source(copied, truth=str(tmp_path / "truth.csv"))
    with pytest.raises(DataFault, match="true probabilities"):
        write_report(copied, ReportOptions(views=1), display)


@pytest.mark.usefixtures("real_figures")
def test_names_of_a_stranger_stay_text(copied: Path, display: Display, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = ['"><script>alert(1)</script>', "$\\frac{$", "{{ 7 * 7 }}", "名前", "a\nb\x00", "\udcff", "n" * 300]
    ids = run_folder.read_split(copied).validation.tolist()  # all are shown
    named = {number: hostile[place % len(hostile)] for place, number in enumerate(ids)}
    monkeypatch.setattr(report, "names_of", lambda store: [named.get(number, "") for number in store.ids.tolist()])
    folder = copied.rename(copied.parent / "<script>alert(2)<")
    started = folder / "started.json"
    started.write_text(started.read_text().replace("galaxy-triton", "<script>alert(3)</script>"))
    page = Page(write_report(folder, ReportOptions(views=1), display).page.read_text(encoding="utf-8"))
    assert "script" not in {tag for tag, _ in page.tags}
    assert "<script>alert(2)<" in page.texts
    assert any("<script>alert(3)</script>" in text for text in page.texts)
    shown = " ".join(str(attributes.get("alt")) for _, attributes in page.tags)
    assert [name for name in hostile[:4] if name not in shown] == []
