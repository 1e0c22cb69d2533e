"""What `train` is asked for, and what comes of it: a configuration, a machine, a store and a split that fit."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from galaxy_triton.config import toml as settings
from galaxy_triton.config.recipes import RECIPES
from galaxy_triton.config.schema import Config
from galaxy_triton.data.split import Split, split_by_fraction, split_by_ids, with_repeated
from galaxy_triton.data.store import Store, open_store
from galaxy_triton.galaxyzoo.tables import read_ids
from galaxy_triton.model.backend import Backend, choose
from galaxy_triton.predict.predictor import check_preprocess
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.simulation.first_run import DemoSky, demo_sky
from galaxy_triton.system.errors import UsageFault, expected
from galaxy_triton.system.whole_files import require_new_folder
from galaxy_triton.train import finetune
from galaxy_triton.train.finetune import Start

# What a resumed run may change: where and how it runs, not what it computes.
RESUMABLE = ("run.device", "run.augment", "run.loss", "run.body", "run.norm", "run.resident")


@dataclass(frozen=True)
class TrainOptions:
    """What `train` was asked for.

    store: None for the simulated sky, or for the store of the run that is resumed. recipe: None for "seed", or "demo"
    without a store. config_file: a TOML file over the recipe. settings: dotted fields over both. run: the folder, None
    for a new one named after the recipe and the time. held_out: a CSV of ids to hold out, None for the configured
    fraction. fit_batch: find the largest batch that fits, in place of the configured one. profile: record some
    steps into this trace. folds: of a cross-validation, None for one run. fold_ids: a CSV of the ids that are held out
    in its folds, None for all that are labelled; those of them that are trained on are repeated `run.repeat` times.
    finetune: the run whose weights to begin with, None for random ones.
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
    folds: int | None = None
    fold_ids: Path | None = None
    finetune: Path | None = None


@dataclass(frozen=True)
class Proposal:
    """What a request comes to, before its store is opened. demo: the simulated sky, which may have to be drawn first.

    truth: the table of true probabilities of a simulated sky. start: what a run that is fine-tuned begins with.
    """

    config: Config
    backend: Backend
    folder: Path
    store: Path
    truth: Path | None
    demo: DemoSky | None
    start: Start | None


def propose(request: TrainOptions, processes: int = 1) -> Proposal:
    """Settle everything that needs no galaxy, for a run of so many processes.

    Raises:
        UsageFault: a field, value or choice that cannot be or cannot run here, or a folder that is in use.
        DataFault: nothing to resume, or no whole run to fine-tune.
    """
    config = configured(request)
    backend = choose(config, processes)
    folder = request.run or run_folder.new_folder(_name(request, config))
    if not request.resume:
        require_new_folder(folder, "--run", "add --resume to continue that run, or choose another --run")
    store, truth = _galaxies(request, config)
    sky = demo_sky(config.preprocess)
    return Proposal(config, backend, folder, store, truth, sky if store == sky.store else None, _start(request, config))


def configured(request: TrainOptions) -> Config:
    """The configuration of a request: recipe, then TOML file, then settings; the own one of a run that is resumed, or
    that of the run to be fine-tuned, comes first.

    Raises:
        UsageFault: no such field or value, or a field that a resumed run cannot change.
        DataFault: nothing to resume or to fine-tune.
    """
    given = request.settings or {}
    if request.resume:
        return settings.override(run_folder.read_config(_resumed(request)), given)
    config = _base(request)
    if request.config_file is not None:
        config = settings.read_toml(request.config_file, config)
    config = settings.override(config, given)
    _check_fold_ids(request, config)
    return config


def open_galaxies(request: TrainOptions, proposal: Proposal) -> Store:
    """The store of a proposal.

    Raises:
        DataFault: no store there, one packed otherwise, or another than that of the run to resume.
    """
    store = open_store(proposal.store)
    if request.resume:
        run_folder.check_source(proposal.folder, store)
    check_preprocess(proposal.config.preprocess, store.preprocess, store.path)
    return store


def split_of(request: TrainOptions, config: Config, store: Store) -> Split:
    """Which galaxies of the store one run trains on, holds out and repeats.

    Raises:
        DataFault: a part that is empty.
    """
    if request.resume and request.run is not None:
        parts = run_folder.read_split(request.run)
        held_out, repeated = parts["validation"], parts["repeated"]
        split = split_by_ids(store, held_out) if len(held_out) else split_by_fraction(store, 0, 0)
        return with_repeated(split, store, repeated) if len(repeated) else split
    if request.held_out is not None:
        split = split_by_ids(store, read_ids(request.held_out))
    else:
        split = split_by_fraction(store, config.run.validation, config.run.seed)
    if request.fold_ids is None or config.run.repeat == 1:
        return split
    return with_repeated(split, store, read_ids(request.fold_ids))


def _name(request: TrainOptions, config: Config) -> str:
    """What a run is called that was given no folder."""
    return f"{config.recipe}{'-finetune' * bool(request.finetune)}{'-folds' * (request.folds is not None)}"


def _base(request: TrainOptions) -> Config:
    """What the options of a new run change."""
    if request.finetune is None:
        return RECIPES[request.recipe or ("seed" if request.store else "demo")]
    in_file = {} if request.config_file is None else settings.toml_values(request.config_file)
    if recipe := request.recipe or in_file.get("recipe"):
        want, do = "the configuration of the run to be fine-tuned", "leave one of the two out"
        raise UsageFault(expected(want, f"the recipe {recipe}", "--finetune", do))
    if request.store is None:
        raise UsageFault(expected("a STORE to fine-tune on", "none", "--finetune", "name one that `pack` made"))
    return finetune.configured_after(request.finetune)


def _start(request: TrainOptions, config: Config) -> Start | None:
    """What the run of a request begins with, or its folds, where that is no random draw."""
    if request.resume and request.run is not None:
        return None if run_folder.has_checkpoint(request.run) else finetune.kept(request.run)
    if request.finetune is None:
        return None
    start = finetune.start_from(request.finetune)
    finetune.check_network(config, start)
    return start


def _resumed(request: TrainOptions) -> Path:
    """The folder of the run to resume, once nothing is asked of it that would change what it computes."""
    if request.run is None:
        raise UsageFault(expected("the run to resume", "none", "--resume", "name it with --run"))
    others = {"--recipe": request.recipe, "the TOML file": request.config_file, "--finetune": request.finetune}
    fixed = [name for name in request.settings or {} if name not in RESUMABLE]
    fixed += [name for name, value in others.items() if value is not None]
    if fixed:
        do = f"leave it out; a resumed run may change {', '.join(RESUMABLE)}"
        raise UsageFault(expected("the configuration of the run that is resumed", ", ".join(fixed), "--resume", do))
    if request.fit_batch:
        do = "leave it out: the run keeps its batches"
        raise UsageFault(expected("the batch size of the run that is resumed", "auto", "--batch-size", do))
    splits = {"--validation": request.held_out, "--folds": request.folds, "--fold-ids": request.fold_ids}
    for name, value in splits.items():
        if value is not None:
            do = "leave it out: the run keeps its split"
            raise UsageFault(expected("the split of the run that is resumed", value, name, do))
    return request.run


def _check_fold_ids(request: TrainOptions, config: Config) -> None:
    """Raise unless what is said of repeated galaxies goes together."""
    repeats = config.run.repeat > 1 or "run.repeat" in (request.settings or {})
    if request.fold_ids is None and repeats:
        do = "list with --fold-ids the galaxies to be repeated"
        raise UsageFault(expected("a list of ids", "none", "--repeat-ids", do))
    if request.fold_ids is not None and not repeats and request.folds is None:
        do = "say with --folds or --repeat-ids what they are listed for"
        raise UsageFault(expected("a use of these ids", "none", "--fold-ids", do))


def _galaxies(request: TrainOptions, config: Config) -> tuple[Path, Path | None]:
    """The store to train on, and the truth of a simulated sky."""
    if request.resume and request.run is not None:
        source = run_folder.read_source(request.run)
        return request.store or source.store, source.truth
    if request.store is not None:
        return request.store, None
    sky = demo_sky(config.preprocess)
    return sky.store, sky.truth
