"""`ablate`: measures variants of a training step on one store, each one change away from another."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from galaxy_triton.config.schema import Config
from galaxy_triton.config.toml import to_dict
from galaxy_triton.data.names import warn_of_unknown
from galaxy_triton.data.split import split_by_fraction, split_by_ids
from galaxy_triton.data.store import open_store, require_preprocess
from galaxy_triton.experiments.ablation_measure import Job, Record, measure
from galaxy_triton.experiments.ablation_product import product_tflops, step_flops
from galaxy_triton.experiments.ablation_results import CSV, record_of, show_results, write_results
from galaxy_triton.experiments.ablation_rows import (
    COMPILE_ONLY,
    COMPILED,
    COMPILED_MODES,
    PARTS,
    Row,
    Variant,
    rows_of_parts,
)
from galaxy_triton.experiments.new_process import CallFailed, in_new_process
from galaxy_triton.experiments.writeup_pipeline import differences
from galaxy_triton.galaxyzoo.tables import read_ids
from galaxy_triton.model.backend import Backend, body_unavailable, choose
from galaxy_triton.model.device import DTYPES
from galaxy_triton.system.console import Display, duration
from galaxy_triton.system.errors import UsageFault, expected
from galaxy_triton.system.output_paths import require_new_folder
from galaxy_triton.system.provenance import provenance
from galaxy_triton.train.forecast import LONG, smaller
from galaxy_triton.train.options import TrainOptions, config_of

Caller = Callable[[Callable[[Any], Any], Any], Any]  # (call, argument) -> call(argument), as in_new_process

SET_BY_ROWS = ("run.augment", "run.loss", "run.body", "run.norm", "run.resident")
TIMED = {"cuda": 50, "mps": 20, "cpu": 20}  # steps on the clock
FEW, MANY = 2, 100  # steps that tell how long a training takes; steps of a row's trainings that are worth it


@dataclass(frozen=True)
class AblationOptions:
    """Options of `ablate`.

    train: store and configuration, as `train` takes them.
    out: the new folder for the results.
    images: the files that the store was packed from, for the rows of the write-up's pipeline.
    steps: of each training.
    timed: steps on the clock; None for TIMED.
    seeds: trainings of each row, with seeds from run.seed on.
    workers: of the write-up's DataLoader; None for one a core.
    rows: keys of the rows to measure; all if empty.
    """

    train: TrainOptions
    out: Path
    images: Path | None = None
    steps: int = 500
    timed: int | None = None
    seeds: int = 3
    workers: int | None = None
    rows: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """The rows to measure. job: of the write-up's pipeline; other rows differ in the variant. modes: of torch.compile
    alone, those that can run here."""

    job: Job
    backend: Backend
    rows: list[Row]
    modes: dict[str, Variant]


def ablate(options: AblationOptions, display: Display, dry_run: bool = False, call: Caller = in_new_process) -> None:
    """Measure every row in a process of its own; after each row, write the results so far into `options.out`.

    dry_run: say which rows would be measured, and write nothing.

    Raises:
        UsageFault: a choice that is not possible, or a folder that is in use.
        DataFault: no store, a store packed otherwise, or a folder that cannot be written.
    """
    plan = _plan(options, display)
    _say_plan(plan, display)
    require_new_folder(options.out, "--out")
    if dry_run:
        for row in plan.rows:
            display.say(f"{row.key:<20} {row.label:<36} {_absent(row.reason) or 'would be measured'}")
        display.say("Nothing was written")
        return
    _warn_of_hours(plan, call, display)
    about = _about(plan, call, display)
    records = [record_of(row, {}, row.reason or "not reached") for row in plan.rows]
    known: dict[Variant, Record] = {}
    for number, row in enumerate(plan.rows):
        records[number] = record = _measure_row(plan, row, known, about, call)
        display.note(f"{row.label:<44} {_absent(record['reason']) or _summary(record)}")
        write_results(options.out, records, about, _title(plan))
    display.note()
    show_results(records, display)
    display.say(f"figures    {options.out / CSV}")


def _plan(options: AblationOptions, display: Display) -> Plan:
    """Which rows can run here, on which galaxies.

    Raises:
        UsageFault, DataFault: as `ablate`.
    """
    train = options.train
    if chosen := [name for name in train.settings or {} if name in SET_BY_ROWS]:
        do = "leave it out; --rows chooses among the rows"
        raise UsageFault(expected("no option that each row sets itself", ", ".join(chosen), "ablate", do))
    config, path = config_of(train), train.store or Path()
    backend, store, run = choose(config), open_store(path), config.run
    require_preprocess(store, config.preprocess)
    if ids := train.validation_ids:
        warn_of_unknown(ids, store, display)
    split = split_by_ids(store, read_ids(ids)) if ids else split_by_fraction(store, run.validation, run.seed)
    if not len(split.validation):
        raise UsageFault(expected("validation galaxies", "none", "--validation", "give a larger fraction"))
    workers = (os.cpu_count() or 1) if options.workers is None else options.workers
    timed = options.timed or TIMED[backend.device.type]
    job = Job(Variant(), config, path, options.images or Path(), split, workers, timed, options.steps, options.seeds)
    modes = {name: variant for name, variant in COMPILED_MODES.items() if not _unavailable(variant, config, backend)}
    rows = _rows(config, backend, modes)
    without = "" if find_spec("torchvision") else "it needs torchvision: pip install torchvision"
    files = "it reads image files: name them with --images" if options.images is None else without
    rows = [row._replace(reason=row.reason or files * (row.variant.pixels == "files")) for row in rows]
    return Plan(job, backend, [row for row in rows if not options.rows or row.key in options.rows], modes)


def _rows(config: Config, backend: Backend, modes: dict[str, Variant]) -> list[Row]:
    reasons = {name: _unavailable(replace(Variant(), **part.change), config, backend) for name, part in PARTS.items()}
    if backend.precision.name == "fp32":
        reasons["autocast"] = f"the run's precision here is fp32: {backend.precision.why}"
    no_mode = "" if modes else body_unavailable("compile", backend.device) or "none of its modes runs here"
    compiled = Row(COMPILE_ONLY, "best of torch.compile alone", COMPILED, no_mode)
    return [*rows_of_parts({name: reason for name, reason in reasons.items() if reason}), compiled]


def _unavailable(variant: Variant, config: Config, backend: Backend) -> str:
    """Why steps of this variant cannot run here; "" if they can."""
    device = backend.device
    if variant.norm == "torch" and device.type != "cpu":
        return f"on {device.type} its Triton kernel takes its place"
    # Triton's interpreter would run on a CPU, but its speed says nothing.
    if "triton" in (variant.augment, variant.loss, variant.norm) and device.type != "cuda":
        return f"its kernel needs a CUDA GPU, and the device is {device.type}"
    reason = body_unavailable(variant.body, device)
    if reason is None:
        try:
            choose(variant.apply(config))
        except UsageFault as fault:
            reason = str(fault)
    return reason or ""


def _measure_row(plan: Plan, row: Row, known: dict[Variant, Record], about: dict[str, Any], call: Caller) -> Record:
    """Measure a row, unless an earlier row had the same variant; add its figures to `known`."""
    if row.reason:
        return record_of(row, {}, row.reason)
    try:
        if row.key == COMPILE_ONLY:
            row = _fastest_mode(plan, row, call)
        if row.variant not in known:
            known[row.variant] = call(measure, replace(plan.job, variant=row.variant))
    except CallFailed as failed:
        return record_of(row, {}, str(failed))
    measured, first = known[row.variant], next(iter(known.values()))
    rate, peak = measured["images_per_s"], about["product_tflops"].get(measured["precision"])
    used = None if peak is None else rate * about["flops_per_image"] / (peak * 1e12)
    return record_of(row, measured | {"speed": rate / first["images_per_s"], "mfu_measured": used})


def _fastest_mode(plan: Plan, row: Row, call: Caller) -> Row:
    """The row of torch.compile alone, in its fastest mode; the label names the speeds of the others.

    Raises:
        CallFailed: no mode ran.
    """
    rates: dict[str, float] = {}
    failures: dict[str, str] = {}
    for mode, variant in plan.modes.items():
        try:
            rates[mode] = call(measure, replace(plan.job, variant=variant, seeds=0))["images_per_s"]
        except CallFailed as failed:
            failures[mode] = str(failed)
    if not rates:
        raise CallFailed("; ".join(f"{mode}: {why}" for mode, why in failures.items()))
    best = max(rates, key=rates.__getitem__)
    others = ", ".join(f"{mode} {rate:,.0f} images/s" for mode, rate in rates.items() if mode != best)
    label = f"torch.compile alone: {best}" + f" ({others})" * bool(others)
    return row._replace(label=label, variant=plan.modes[best])


def _about(plan: Plan, call: Caller, display: Display) -> dict[str, Any]:
    """What all rows have in common, with the operations of an image and the rate of a large matrix product, in 10^12
    operations a second, for each precision of the rows."""
    config, own = plan.job.config, plan.backend.precision.name
    precisions = {row.variant.apply(config).run.precision for row in plan.rows if not row.reason}
    tflops: dict[str, float] = {}
    for name in sorted({own if name == "auto" else name for name in precisions}):
        try:
            tflops[name] = call(partial(product_tflops, plan.backend.device), DTYPES[name])
        except CallFailed as failed:
            display.warn(f"no rate of products in {name}: {failed}")
    flops = step_flops(config.network, config.run.batch_size, config.augmentation.size)
    return {
        "made_with": provenance(),
        "machine": plan.backend.lines(),
        "config": to_dict(config),
        "seeds_views_differ": differences(config.augmentation),
        "flops_per_image": flops / config.run.batch_size,
        "product_tflops": tflops,
    }


def _say_plan(plan: Plan, display: Display) -> None:
    job = plan.job
    for line in plan.backend.lines():
        display.note(line)
    display.field("galaxies", f"{len(job.split.train)} for training, {len(job.split.validation)} for validation")
    display.field("write-up", f"its views differ: {', '.join(differences(job.config.augmentation))}")
    trained = f"{job.seeds} trainings of {job.steps} steps" if job.seeds else "no training"
    display.field("each row", f"{job.timed} steps of {job.config.run.batch_size} on the clock, {trained}\n")


def _warn_of_hours(plan: Plan, call: Caller, display: Display) -> None:
    """Warn of trainings that take hours, by a few steps of the first row, which is the slowest as a rule."""
    job, rows = plan.job, [row for row in plan.rows if not row.reason]
    if not rows or job.steps * job.seeds < MANY:
        return
    try:
        found = call(measure, replace(job, variant=rows[0].variant, timed=FEW, seeds=0))
    except CallFailed:
        return  # the row will say why
    seconds = len(rows) * job.seeds * job.steps * found["ms_a_step"] / 1e3
    if seconds >= LONG:
        text = f"about {duration(seconds)} for these rows, by the first steps of one"
        display.warn(f"{text}. Less time: some --rows, fewer --steps or --seeds, or {smaller(job.config)}")


def _title(plan: Plan) -> str:
    config, backend = plan.job.config, plan.backend
    device = backend.device_why.split(",")[0] if backend.device.type == "cuda" else "CPU"
    return f"{config.recipe}, batches of {config.run.batch_size}, {device}"


def _absent(reason: str) -> str:
    return f"absent: {reason}" if reason else ""


def _summary(record: Record) -> str:
    score = f"  RMSE {record['rmse']:.4f}" if "rmse" in record else ""
    return f"{record['images_per_s']:10,.0f} images/s{score}"
