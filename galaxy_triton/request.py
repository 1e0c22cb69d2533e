"""What `train` is asked for, and what comes of it: a configuration, a machine, a store and a split that fit."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from galaxy_triton import run_folder, settings
from galaxy_triton.answer import check_preprocess
from galaxy_triton.config import RECIPES, Config
from galaxy_triton.data import Split, split_by_fraction, split_by_ids
from galaxy_triton.demo import DemoSky, demo_sky
from galaxy_triton.errors import UsageFault, expected
from galaxy_triton.machine import Machine, choose
from galaxy_triton.store import Store, open_store
from galaxy_triton.table import read_ids

# What a resumed run may change: where and how it runs, not what it computes.
RESUMABLE = ("run.device", "run.augment", "run.loss", "run.body", "run.norm", "run.resident")


@dataclass(frozen=True)
class Request:
    """What `train` was asked for.

    store: None for the simulated sky, or for the store of the run that is resumed. recipe: None for "seed", or "demo"
    without a store. config_file: a TOML file over the recipe. settings: dotted fields over both. run: the folder, None
    for a new one named after the recipe and the time. held_out: a CSV of ids to hold out, None for the configured
    fraction. fit_batch: find the largest batch that fits, in place of the configured one. profile: record some
    steps into this trace.
    """

    store: Path | None = None
    recipe: str | None = None
    config_file: Path | None = None
    settings: dict[str, Any] | None = None
    run: Path | None = None
    held_out: Path | None = None
    resume: bool = False
    fit_batch: bool = False
    profile: Path | None = None


@dataclass(frozen=True)
class Proposal:
    """What a request comes to, before its store is opened. demo: the simulated sky, which may have to be drawn first.

    truth: the table of true probabilities of a simulated sky.
    """

    config: Config
    machine: Machine
    folder: Path
    store: Path
    truth: Path | None
    demo: DemoSky | None


def propose(request: Request, processes: int = 1) -> Proposal:
    """Settle everything that needs no galaxy, for a run of so many processes.

    Raises:
        UsageFault: a field, value or choice that cannot be or cannot run here, or a folder that is in use.
        DataFault: nothing to resume.
    """
    config = configured(request)
    machine = choose(config, processes)
    folder = request.run or run_folder.new_folder(config.recipe)
    if not request.resume:
        run_folder.check_new(folder)
    store, truth = _galaxies(request, config)
    sky = demo_sky(config.preprocess)
    return Proposal(config, machine, folder, store, truth, sky if store == sky.store else None)


def configured(request: Request) -> Config:
    """The configuration of a request: recipe, then TOML file, then settings; a resumed run's own comes first.

    Raises:
        UsageFault: no such field or value, or a field that a resumed run cannot change.
        DataFault: nothing to resume.
    """
    given = request.settings or {}
    if request.resume:
        return settings.override(run_folder.read_config(_resumed(request)), given)
    config = RECIPES[request.recipe or ("seed" if request.store else "demo")]
    if request.config_file is not None:
        config = settings.read_toml(request.config_file, config)
    return settings.override(config, given)


def open_galaxies(request: Request, proposal: Proposal) -> tuple[Store, Split]:
    """The store of a proposal, and which of its galaxies are trained on and held out.

    Raises:
        DataFault: no store there, one packed otherwise, or a split that leaves a part empty.
    """
    store = open_store(proposal.store)
    if request.resume:
        run_folder.check_source(proposal.folder, store)
    check_preprocess(proposal.config.preprocess, store.preprocess, store.path)
    return store, _split(request, proposal.config, store)


def _resumed(request: Request) -> Path:
    """The folder of the run to resume, once nothing is asked of it that would change what it computes."""
    if request.run is None:
        raise UsageFault(expected("the run to resume", "none", "--resume", "name it with --run"))
    others = {"--recipe": request.recipe, "the TOML file": request.config_file}
    fixed = [name for name in request.settings or {} if name not in RESUMABLE]
    fixed += [name for name, value in others.items() if value is not None]
    if fixed:
        do = f"leave it out; a resumed run may change {', '.join(RESUMABLE)}"
        raise UsageFault(expected("the configuration of the run that is resumed", ", ".join(fixed), "--resume", do))
    if request.fit_batch:
        do = "leave it out: the run keeps its batches"
        raise UsageFault(expected("the batch size of the run that is resumed", "auto", "--batch-size", do))
    if request.held_out is not None:
        do = "leave it out: the run keeps its split"
        raise UsageFault(expected("the split of the run that is resumed", request.held_out, "--validation", do))
    return request.run


def _galaxies(request: Request, config: Config) -> tuple[Path, Path | None]:
    """The store to train on, and the truth of a simulated sky."""
    if request.resume and request.run is not None:
        source = run_folder.read_source(request.run)
        return request.store or source.store, source.truth
    if request.store is not None:
        return request.store, None
    sky = demo_sky(config.preprocess)
    return sky.store, sky.truth


def _split(request: Request, config: Config, store: Store) -> Split:
    if request.resume and request.run is not None:
        held_out = run_folder.read_split(request.run)["validation"]
        return split_by_ids(store, held_out) if len(held_out) else split_by_fraction(store, 0, 0)
    if request.held_out is not None:
        return split_by_ids(store, read_ids(request.held_out))
    return split_by_fraction(store, config.run.validation, config.run.seed)
