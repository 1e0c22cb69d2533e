"""`ablate` on the tests' sky: what is measured and what is absent, its files, and a crash that costs one row."""

import csv
import io
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result as Called
from PIL import Image
from rich.console import Console

from galaxy_triton.experiments.ablation import Asked, ablate, describe, planned
from galaxy_triton.experiments.ablation_row import Job, Measured
from galaxy_triton.experiments.ablation_table import absences, mean_with_interval, rows_of, shown
from galaxy_triton.experiments.fresh_process import CallFailed, in_this_process
from galaxy_triton.model.backend import choose
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import DataFault, UsageFault
from galaxy_triton.train.options import TrainOptions

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
EAGER = ("seed", "channels_last", "resident")  # on a CPU, without compiling


@pytest.fixture
def asked(sky: Any, tiny: dict[str, Any], tmp_path: Path) -> Asked:
    request = TrainOptions(sky.store, settings=tiny)
    return Asked(request, tmp_path / "out", sky.archive, steps=2, timed=10, seeds=2, workers=0, rows=EAGER)


def read(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "ablation.csv").open(newline="") as handle:
        return {row["row"]: row for row in csv.DictReader(handle)}


def test_rows_have_figures(asked: Asked, display: Display) -> None:
    ablate(asked, display, in_this_process)
    rows = read(asked.out)
    assert tuple(rows) == EAGER
    for row in rows.values():
        assert row["reason"] == ""
        assert 0 < float(row["images_per_s_low"]) <= float(row["images_per_s"]) <= float(row["images_per_s_high"])
        assert float(row["ms_a_step"]) == pytest.approx(1e3 * 11 / float(row["images_per_s"]), rel=0.2)
        assert 0 <= float(row["waiting_for_data"]) < 1
        assert float(row["mfu_measured"]) > 0
        assert float(row["rmse_low"]) <= float(row["rmse"]) <= float(row["rmse_high"])
        assert len(row["rmse_of_seeds"].split()) == 2
        shares = [float(value) for name, value in row.items() if name.startswith("share: ") and value]
        assert sum(shares) == pytest.approx(1, abs=0.02)
    assert float(rows["seed"]["speed"]) == 1
    assert float(rows["seed"]["waiting_for_data"]) > float(rows["resident"]["waiting_for_data"])
    assert rows["seed"]["share: augmentation"] == "", "in the loader"
    assert float(rows["resident"]["share: augmentation"]) > 0
    said = display.console.file.getvalue()
    assert "seed's pipeline, fp32" in said
    assert "RMSE after 2" in said
    whole = json.loads((asked.out / "ablation.json").read_text())
    assert whole["config"]["run"]["batch_size"] == 12
    assert whole["product_tflops"]["fp32"] > 0
    with Image.open(asked.out / "ablation.png") as image:
        assert image.size[0] > 1000


def test_the_same_seeds_and_steps_give_the_same_network(asked: Asked, display: Display) -> None:
    """Layout and way of running change no draw: rows on resident pixels differ by rounding alone."""
    again = replace(asked, rows=("resident",), out=asked.out / "again")
    first, second = (ablate(one, display, in_this_process) for one in (replace(asked, rows=("resident",)), again))
    assert first.results[0].measured.rmse == second.results[0].measured.rmse
    assert len(set(first.results[0].measured.rmse)) == 2, "each seed its own"


def test_what_cannot_run_is_absent_with_its_reason(asked: Asked, display: Display) -> None:
    describe(replace(asked, rows=(), images=None), display)
    said = " ".join(display.console.file.getvalue().split())
    for reason in (
        "absent: it reads image files: name them with --images",
        "absent: the run's precision here is fp32: default on CPU",
        "absent: its kernel needs a CUDA GPU, and the device is cpu",
        "absent: CUDA graphs need a CUDA GPU, and the device is cpu",
    ):
        assert reason in said
    assert not asked.out.exists()


def test_a_row_that_fails_costs_that_row(asked: Asked, display: Display) -> None:
    def broken(call: Callable[[Any], Any], argument: Any) -> Any:
        if isinstance(argument, Job) and argument.way.layout == "channels_last" and argument.way.pixels == "files":
            raise CallFailed("RuntimeError: CUDA error")
        return in_this_process(call, argument)

    table = ablate(asked, display, broken)
    rows = rows_of(table)
    assert [bool(row["reason"]) for row in rows] == [False, True, False]
    assert absences(rows) == ["absent: + channels_last: RuntimeError: CUDA error"]
    assert "absent: + channels_last: RuntimeError: CUDA error" in display.console.file.getvalue()
    assert read(asked.out)["channels_last"]["reason"] == "RuntimeError: CUDA error"


def test_figures_are_kept_as_they_come(asked: Asked, display: Display) -> None:
    """Stopped in the second row: the first is in the table, the others say why they are not."""

    def stopped(call: Callable[[Any], Any], argument: Any) -> Any:
        if isinstance(argument, Job) and argument.way.layout == "channels_last":
            raise KeyboardInterrupt
        return in_this_process(call, argument)

    with pytest.raises(KeyboardInterrupt):
        ablate(asked, display, stopped)
    assert [row["reason"] for row in read(asked.out).values()] == ["", "not reached", "not reached"]


def test_equal_ways_are_measured_once(asked: Asked, display: Display) -> None:
    jobs = []

    def counting(call: Callable[[Any], Any], argument: Any) -> Any:
        jobs.extend([argument] if isinstance(argument, Job) else [])
        return stand_in(argument) if isinstance(argument, Job) else in_this_process(call, argument)

    table = ablate(replace(asked, rows=("closed", "compile", "minus-compile", "compile-only")), display, counting)
    if any(result.reason for result in table.results):
        pytest.skip("no compiler here")
    assert [(job.way.body, job.way.augment, job.seeds) for job in jobs] == [
        ("eager", "torch", 2),
        ("compile", "torch", 2),
        ("compile", "compile", 0),
        ("compile", "compile", 2),
    ]
    assert table.results[2].measured is table.results[0].measured
    assert table.results[3].row.label == "torch.compile alone: compile"


def stand_in(job: Job) -> Measured:
    """Figures of a row that nobody has measured."""
    return Measured((1.0, 2.0, 3.0), 12, 0.1, 0.0, 10.0, {}, (0.1,) * job.seeds, choose(job.config).chosen())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"settings": {"run.augment": "triton"}}, "no choice that each row makes itself"),
        ({"settings": {"run.validation": 0}}, "galaxies held out"),
        ({"recipe": "best", "settings": {}}, "a store of"),
    ],
)
def test_what_cannot_be_asked_is_said(change: dict[str, Any], message: str, asked: Asked) -> None:
    merged = {**change, "settings": {**(asked.request.settings if change["settings"] else {}), **change["settings"]}}
    with pytest.raises((UsageFault, DataFault), match=message):
        planned(replace(asked, request=replace(asked.request, **merged)))


def test_a_folder_in_use_is_left_alone(asked: Asked, display: Display) -> None:
    asked.out.mkdir()
    (asked.out / "mine.txt").write_text("mine")
    with pytest.raises(UsageFault, match="a new or empty folder"):
        ablate(asked, display, in_this_process)
    assert [file.name for file in asked.out.iterdir()] == ["mine.txt"]


@pytest.mark.process
def test_command_line_in_processes_of_their_own(
    sky: Any, tmp_path: Path, succeed: Callable[..., str], tiny_options: Callable[..., list[str]]
) -> None:
    out = tmp_path / "out"
    options = (*tiny_options("run.epochs"), "--steps", 1, "--seeds", 1, "--timed-steps", 2, "--rows", "resident")
    said = succeed("ablate", sky.store, "--out", out, *options)
    assert "+ resident pixels" in said
    assert read(out)["resident"]["rmse_low"] == ""
    assert {file.name for file in out.iterdir()} == {"ablation.csv", "ablation.json", "ablation.png"}


def test_dry_run_writes_nothing(
    sky: Any, tmp_path: Path, succeed: Callable[..., str], tiny_options: Callable[..., list[str]]
) -> None:
    said = succeed("ablate", sky.store, "--out", tmp_path / "out", *tiny_options(), "--dry-run")
    assert "Nothing was written" in said
    assert not (tmp_path / "out").exists()


def test_an_option_of_a_row_is_refused(sky: Any, tmp_path: Path, call: Callable[..., Called]) -> None:
    result = call("ablate", sky.store, "--out", tmp_path / "out", "--set", "run.body=eager")
    assert result.exit_code == 2
    assert "Expected no choice that each row makes itself, got run.body" in " ".join(result.output.split())


def test_interval_is_of_students_t() -> None:
    mean, low, high = mean_with_interval([1.0, 2.0, 3.0])
    assert (mean, low, high) == pytest.approx((2, 2 - 4.303 / math.sqrt(3), 2 + 4.303 / math.sqrt(3)))
    assert math.isnan(mean_with_interval([1.0])[1])


def test_the_table_shows_what_there_is(asked: Asked) -> None:
    """A column that no row fills is left out."""
    console = Console(file=io.StringIO(), width=200)
    row = {"label": "one", "reason": "", "images_per_s": 12.0, "speed": 1.0, "ms_a_step": 3.0, "peak_memory_mib": 5.0}
    console.print(*shown([{**row, "short": "one"}], 10))
    said = console.file.getvalue()
    assert "one" in said
    assert "MFU" not in said
