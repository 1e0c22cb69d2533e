"""`ablate`: every way to make a training step that can run here, one change from the next, measured on one store."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from galaxy_triton import kernels
from galaxy_triton.config.schema import Config
from galaxy_triton.data.split import Split, split_by_fraction, split_by_ids
from galaxy_triton.data.store import open_store, require_preprocess
from galaxy_triton.experiments.ablation_pipeline import differences
from galaxy_triton.experiments.ablation_row import Job, Measured, measure
from galaxy_triton.experiments.ablation_rows import ALONE, PARTS, Row, Way, compiled_alone, ladder, minus_one
from galaxy_triton.experiments.ablation_table import (
    CSV,
    Limits,
    Result,
    Table,
    absences,
    remarks,
    rows_of,
    shown,
    write,
)
from galaxy_triton.experiments.fresh_process import CallFailed, in_fresh_process
from galaxy_triton.experiments.profile_product import product_tflops, step_flops
from galaxy_triton.galaxyzoo.tables import read_ids
from galaxy_triton.model import head
from galaxy_triton.model.backend import Backend, body_unavailable, choose
from galaxy_triton.model.device import DTYPES
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import UsageFault, expected
from galaxy_triton.system.whole_files import require_new_folder
from galaxy_triton.train.options import TrainOptions, config_of

Run = Callable[[Callable[[Any], Any], Any], Any]  # runs a call on its argument: fresh.in_fresh_process

# Each rung makes its own choice of these.
CHOSEN_BY_RUNGS = ("run.augment", "run.loss", "run.body", "run.norm", "run.resident")
TIMED = {"cuda": 50, "mps": 20, "cpu": 20}  # steps on the clock


@dataclass(frozen=True)
class Asked:
    """What `ablate` is asked for.

    request: the store and the configuration, as `train` takes them. images: the files that the store was packed from,
    for the rows of the seed's pipeline. out: the new folder. steps: of each training. timed: steps on the clock, None
    for TIMED. seeds: trainings of each row, from run.seed on. workers: of the seed's DataLoader, None for one a core.
    rows: keys of those to measure, all when empty.
    """

    request: TrainOptions
    out: Path
    images: Path | None = None
    steps: int = 500
    timed: int | None = None
    seeds: int = 3
    workers: int | None = None
    rows: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What comes of it. rows: those asked for; that of torch.compile alone has no way yet, but those of `modes`."""

    asked: Asked
    config: Config
    backend: Backend
    split: Split
    rows: list[Row]
    modes: dict[str, Way]

    def job(self, way: Way, seeds: int) -> Job:
        """What to measure of a way."""
        asked, timed = self.asked, self.asked.timed or TIMED[self.backend.device.type]
        store = asked.request.store or Path()
        workers = (os.cpu_count() or 1) if asked.workers is None else asked.workers
        return Job(way, self.config, store, asked.images, self.split, workers, timed, asked.steps, seeds)


def ablate(asked: Asked, display: Display, run: Run = in_fresh_process) -> Table:
    """Measure every row, each in a process of its own, and write its figures into the folder `asked.out` as they come.

    Raises:
        UsageFault: a choice that cannot be, or a folder that is in use.
        DataFault: no store there, one packed otherwise, or a folder that cannot be written.
    """
    plan = planned(asked)
    _announce(plan, display)
    require_new_folder(asked.out, "--out")
    limits = _limits(plan, run, display)
    results = [Result(row, None, row.reason or "not reached") for row in plan.rows]
    known: dict[Way, Result] = {}
    for number, row in enumerate(plan.rows):
        results[number] = _result(plan, row, known, run)
        display.note(f"{row.label:<44} {_found(results[number])}")
        table = Table(plan.config, plan.backend, limits, tuple(results))
        write(asked.out, table)
    _say(table, asked, display)
    return table


def describe(asked: Asked, display: Display) -> None:
    """Say what `ablate` would measure and what not, and write nothing.

    Raises:
        UsageFault, DataFault: as `ablate` would before the first row.
    """
    plan = planned(asked)
    _announce(plan, display)
    require_new_folder(asked.out, "--out")
    for row in plan.rows:
        display.say(f"{row.key:<20} {row.label:<44} {f'absent: {row.reason}' if row.reason else 'would be measured'}")
    display.say("Nothing was written")


def planned(asked: Asked) -> Plan:
    """Settle what can run here and what not.

    Raises:
        UsageFault, DataFault: as `ablate`.
    """
    if chosen := [name for name in asked.request.settings or {} if name in CHOSEN_BY_RUNGS]:
        do = "leave it out; --rows chooses among the rows"
        raise UsageFault(expected("no choice that each row makes itself", ", ".join(chosen), "ablate", do))
    config = config_of(asked.request)
    backend = choose(config)
    store = open_store(asked.request.store or Path())
    require_preprocess(store, config.preprocess)
    held_out, run = asked.request.validation_ids, config.run
    split = split_by_ids(store, read_ids(held_out)) if held_out else split_by_fraction(store, run.validation, run.seed)
    if not len(split.validation):
        raise UsageFault(expected("galaxies held out", "none", "--validation", "give a fraction above 0"))
    modes = {name: way for name, way in compiled_alone().items() if not fault(way, config, backend)}
    return Plan(asked, config, backend, split, _rows(asked, config, backend, modes), modes)


def fault(way: Way, config: Config, backend: Backend) -> str | None:
    """Why steps cannot be made this way here; None if they can."""
    device, run = backend.device, way.configured(config).run
    if way.norm == "torch" and device.type != "cpu":
        return f"on {device.type} its Triton kernel takes its place"
    for name in (way.augment, way.loss, way.norm):
        if name == "triton" and device.type != "cuda":
            return f"its kernel needs a CUDA GPU, and the device is {device.type}"
    found = (
        kernels.unavailable(way.augment, device)
        or head.unavailable(config.network.head, way.loss, device)
        or body_unavailable(way.body, device)
    )
    if found is None:
        try:
            choose(replace(config, run=run))
        except UsageFault as error:
            return str(error)
    return found


def _rows(asked: Asked, config: Config, backend: Backend, modes: dict[str, Way]) -> list[Row]:
    faults = _faults(config, backend)
    alone = Row(ALONE, "best of torch.compile alone", None)
    if not modes:
        alone = alone._replace(reason=body_unavailable("compile", backend.device) or "none of its modes runs here")
    rows = [*ladder(faults), *minus_one(faults), alone]
    return [_with_images(row, asked) for row in rows if not asked.rows or row.key in asked.rows]


def _faults(config: Config, backend: Backend) -> dict[str, str]:
    """Part -> why it cannot run here."""
    found = {name: fault(replace(Way(), **part.change), config, backend) for name, part in PARTS.items()}
    if backend.precision.name == "fp32":
        found["autocast"] = f"the run's precision here is fp32: {backend.precision.why}"
    return {name: why for name, why in found.items() if why is not None}


def _with_images(row: Row, asked: Asked) -> Row:
    if row.way is None or row.way.pixels != "files" or asked.images is not None:
        return row
    return row._replace(way=None, reason="it reads image files: name them with --images")


def _result(plan: Plan, row: Row, known: dict[Way, Result], run: Run) -> Result:
    """A row measured, or taken from an earlier one of the same way."""
    if row.reason:
        return Result(row, None, row.reason)
    try:
        row, way = (row, row.way) if row.way is not None else _best_mode(plan, row, run)
        if way not in known:
            known[way] = Result(row, run(measure, plan.job(way, plan.asked.seeds)), "")
    except CallFailed as failed:
        return Result(row, None, str(failed))
    return known[way]._replace(row=row)


def _best_mode(plan: Plan, row: Row, run: Run) -> tuple[Row, Way]:
    """torch.compile alone in the mode of the body that is fastest, to be measured once more as all rows are.

    Raises:
        CallFailed: none of the modes ran.
    """
    rates, failures = {}, {}
    for mode, way in plan.modes.items():
        try:
            measured: Measured = run(measure, plan.job(way, 0))
            rates[mode] = measured.images_per_s[1]
        except CallFailed as failed:
            failures[mode] = str(failed)
    if not rates:
        raise CallFailed("; ".join(f"{mode}: {why}" for mode, why in failures.items()))
    best = max(rates, key=rates.__getitem__)
    others = ", ".join(f"{mode} {rate:,.0f} images/s" for mode, rate in rates.items() if mode != best)
    label = f"torch.compile alone: {best}" + f" ({others})" * bool(others)
    return row._replace(label=label, way=plan.modes[best]), plan.modes[best]


def _limits(plan: Plan, run: Run, display: Display) -> Limits:
    """The operations of an image, and the rate of a large matrix product in each precision of the rows."""
    used = {row.way.configured(plan.config).run.precision for row in plan.rows if row.way is not None}
    names = {plan.backend.precision.name if name == "auto" else name for name in used}
    found: dict[str, float] = {}
    for name in sorted(names | ({plan.backend.precision.name} if plan.modes else set())):
        try:
            found[name] = run(_product_tflops, (plan.backend.device.type, name))
        except CallFailed as failed:
            display.warn(f"no rate of products in {name}: {failed}")
    config = plan.config
    flops = step_flops(config.network, config.run.batch_size, config.augmentation.size)
    return Limits(flops / config.run.batch_size, found)


def _product_tflops(asked: tuple[str, str]) -> float:
    device, precision = asked
    return product_tflops(torch.device(device), DTYPES[precision])


def _announce(plan: Plan, display: Display) -> None:
    for line in plan.backend.lines():
        display.note(line)
    job, counts = plan.job(Way(), plan.asked.seeds), (len(plan.split.train), len(plan.split.validation))
    display.note(f"{'galaxies':<10} {counts[0]} to train on, {counts[1]} held out")
    display.note(f"{'seed':<10} its views differ: {', '.join(differences(plan.config.augmentation))}")
    trained = f"{job.seeds} trainings of {job.steps} steps" if job.seeds else "no training"
    display.note(f"{'each row':<10} {job.timed} steps of {plan.config.run.batch_size} on the clock, {trained}\n")


def _say(table: Table, asked: Asked, display: Display) -> None:
    rows = rows_of(table)
    display.note()
    for part in shown(rows, asked.steps):
        display.show(part)
    display.note("times: the first row's speed; ±: Student's 95 % interval over seeds; waiting: for the batch")
    for line in [*remarks(rows), *absences(rows)]:
        display.say(line)
    display.say(f"figures    {asked.out / CSV}")


def _found(result: Result) -> str:
    if result.measured is None:
        return f"absent: {result.reason}"
    learned = result.measured.rmse
    scored = f"  RMSE {sum(learned) / len(learned):.4f}" if learned else ""
    return f"{result.measured.images_per_s[1]:10,.0f} images/s{scored}"
