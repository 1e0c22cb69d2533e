"""An open session: configuration, backend, loaded store and processes, which its runs share."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from galaxy_triton.config.schema import Config, Preprocess
from galaxy_triton.data.galaxies import Galaxies, answers_by_row, load
from galaxy_triton.data.split import Split
from galaxy_triton.data.store import Store, labelled_rows, open_store, require_preprocess
from galaxy_triton.galaxyzoo.questions import COLUMNS
from galaxy_triton.galaxyzoo.tree import looks_like
from galaxy_triton.model.backend import Backend, choose
from galaxy_triton.model.device import Choice, be_deterministic
from galaxy_triton.model.memory import free_for_one, residence, step_bytes
from galaxy_triton.predict.predictor import Answers
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.simulation.first_run import DemoSky, cache_advice, demo_sky, prepare
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import UsageFault, command, expected
from galaxy_triton.system.output_paths import require_new_folder
from galaxy_triton.system.processes import ALONE, Processes, from_environment, join_processes
from galaxy_triton.train import finetune
from galaxy_triton.train.batch_size import largest_batch
from galaxy_triton.train.finetune import Start
from galaxy_triton.train.options import TrainOptions, config_of, run_name

NO_GALAXIES = Galaxies(torch.empty((0, 0, 0, 4), dtype=torch.uint8), torch.arange(0), torch.empty((0, 37)))


@dataclass(frozen=True)
class Session:
    """A session that is open; runs, folds and trials are trained in it.

    config: resolved. backend: with the place of the pixels. folder: of the run, or of the cross-validation.
    galaxies: on the device; none in a dry run.
    start: weights to begin with; None for random ones, or where a checkpoint is resumed.
    truth: true probabilities of a simulated sky by row, float32 [N, 37], from `truth_table`; None for real galaxies.
    display: muted in all processes but the first.
    """

    options: TrainOptions
    config: Config
    backend: Backend
    folder: Path
    store: Store
    galaxies: Galaxies
    display: Display
    processes: Processes = ALONE
    start: Start | None = None
    truth_table: Path | None = None
    truth: Answers | None = None

    @classmethod
    @contextmanager
    def open(cls, options: TrainOptions, display: Display, *, dry_run: bool = False) -> Iterator["Session"]:
        """Settle every choice, agree on it with the processes that were started together, and load the store.

        dry_run: stop before anything is written or loaded; the other processes need not be there.

        Raises:
            UsageFault: options, fields or choices that cannot be, or cannot run here; a folder that is in use.
            DataFault: a store or run that is missing, damaged or does not fit; no memory for the pixels; inside the
                block, another process that is gone.
        """
        config = config_of(options)
        alone = nullcontext(replace(from_environment(os.environ), joined=False))
        with alone if dry_run else join_processes(config.run.device) as processes:
            display = display if processes.first else display.muted()
            backend = choose(config, processes.count)
            folder = processes.agree(_folder(options, config, backend, processes))
            path, truth_table, sky = _source(options, config, folder)
            start = _start(options, config, folder)
            _show_choices(config, backend, processes, display)
            with cache_advice(sky):
                store = _open_store(path, config.preprocess, sky, display, dry_run)
                if options.resume:
                    run_folder.check_source(folder, store)
                require_preprocess(store, config.preprocess)
                _warn_of_labels(store, display)
                truth = None if truth_table is None or dry_run else answers_by_row(truth_table, store)
                backend = _place_pixels(config, backend, store, processes, display)
                galaxies = NO_GALAXIES if dry_run else _load(store, backend, display)
            common = (options, config, backend, folder, store, galaxies, display, processes)
            yield cls(*common, start, truth_table, truth)

    def with_config(self, config: Config) -> "Session":
        """The same galaxies under another configuration."""
        backend = replace(choose(config, self.processes.count), resident=self.backend.resident)
        return replace(self, config=config, backend=backend)

    def with_largest_batch(self, split: Split) -> "Session":
        """The same session with the largest batch that fits in all processes.

        Raises:
            UsageFault: the system does not say how much memory is free.
            DataFault: not even one galaxy fits.
        """
        if self.config.run.deterministic:
            be_deterministic()
        rows, count = torch.from_numpy(split.train).to(self.backend.device), self.processes.count
        size = min(self.processes.gather(largest_batch(self.config, self.backend, self.galaxies, rows, self.processes)))
        each = f", {size // count} in each process" * (count > 1)
        self.display.field("batch", f"{size:<8} the largest power of two that fits{each}")
        return replace(self, config=replace(self.config, run=replace(self.config.run, batch_size=size)))

    @contextmanager
    def own_folder(self) -> Iterator["Session"]:
        """Yield the session with a folder that no other job has: without --run an empty one is made, and used or
        removed."""
        if self.options.run is not None:
            yield self
            return
        name = run_name(self.options, self.config)
        folder = self.processes.by_first(lambda: run_folder.reserve_folder(name))
        try:
            yield replace(self, folder=folder)
        finally:
            run_folder.release_folder(folder)

    @contextmanager
    def create_run(self, folder: Path) -> Iterator[Path]:
        """Yield a new run folder to write into, as `runs.folder.create_run`, with the weights to begin with."""
        with run_folder.create_run(folder, self.config, self.backend, self.store, self.truth_table) as new:
            finetune.save_start(new, self.start)
            yield new


def _folder(options: TrainOptions, config: Config, backend: Backend, processes: Processes) -> Path:
    """The run's folder, once it is known to be free and all processes choose alike, so that gradients fit together."""
    folder = options.run or run_folder.new_folder(run_name(options, config))
    if not options.resume:
        resume = f"continue that run with `{command('train', '--run', folder, '--resume')}`, or "
        do = resume * (folder / run_folder.CONFIG).is_file() + "choose another --run"
        require_new_folder(folder, "--run", do)
    if (differing := processes.describe_difference(backend.chosen())) is not None:
        do = "name --precision, --augment, --loss, --body and --norm, or use machines of one kind"
        raise UsageFault(expected("the same choices in all processes", differing, "the machines", do))
    return folder


def _source(options: TrainOptions, config: Config, folder: Path) -> tuple[Path, Path | None, DemoSky | None]:
    """Paths of the store and of a simulated sky's truth; and the sky, where the store is the first run's."""
    sky = demo_sky(config.preprocess)
    store, truth = options.store or sky.store, None if options.store else sky.truth
    if options.resume:
        source = run_folder.read_source(folder)
        store, truth = options.store or source.store, source.truth
    return store, truth, sky if store == sky.store else None


def _start(options: TrainOptions, config: Config, folder: Path) -> Start | None:
    """The weights to begin with, of a new run that is fine-tuned, or of a resumed one without a checkpoint yet."""
    if options.resume:
        return None if run_folder.has_checkpoint(folder) else finetune.read_start(folder)
    return None if options.finetune is None else finetune.start_from(options.finetune, config.network)


def _show_choices(config: Config, backend: Backend, processes: Processes, display: Display) -> None:
    display.field("recipe", f"{config.recipe}: {config.network.name}, {config.run.epochs} epochs")
    for line in backend.lines():
        display.note(line)
    if processes.count > 1:
        display.field("processes", f"{processes.count}, each with its part of every batch")


def _open_store(path: Path, preprocess: Preprocess, sky: DemoSky | None, display: Display, dry_run: bool) -> Store:
    """Open the store; the sky of a first run is drawn and packed before, or in a dry run only announced."""
    if sky is not None and not dry_run:
        prepare(sky, preprocess, display)
    if sky is not None and not path.exists():
        verb = "pack" if sky.folder.exists() else "draw and pack"
        display.say(f"Would {verb} {sky.count:,} simulated galaxies in {sky.folder}")
        return _store_to_draw(sky, preprocess)
    return open_store(path)


def _warn_of_labels(store: Store, display: Display) -> None:
    """Warn of labels that `pack` would refuse today."""
    if store.labels is not None and (look := looks_like(store.labels[labelled_rows(store)])):
        display.warn(f"the labels of {store.path} look like {look}; pack fractions of all people")


def _store_to_draw(sky: DemoSky, preprocess: Preprocess) -> Store:
    """A stand-in for the store of a sky that is not drawn yet: as many labelled galaxies, black."""
    pixels = np.broadcast_to(np.uint8(0), (sky.count, preprocess.size, preprocess.size, 4))
    ids, labels = np.arange(sky.count, dtype=np.int64), np.zeros((sky.count, len(COLUMNS)), np.float32)
    return Store(sky.store, preprocess, pixels, ids, labels, names=None, blocks=(), hash="")


def _place_pixels(config: Config, backend: Backend, store: Store, processes: Processes, display: Display) -> Backend:
    """Choose where the pixels lie, alike in all processes, and say how much memory they and a step need."""
    pixels, free = store.pixels.nbytes, free_for_one(backend.device, processes)
    step = step_bytes(config, backend, processes.count)
    known = "unknown" if free is None else f"{free / 2**20:,.0f} MiB"
    needed = f"{pixels / 2**20:,.0f} MiB for the pixels, about {step / 2**20:,.0f} MiB for a step"
    display.field("memory", f"{needed}; free: {known}")
    own = residence(config.run.resident, backend.device, pixels, step, free)
    # Where they do not fit for one process, the batches of all come from the host.
    choices: list[Choice] = processes.gather(own)
    choice = next((each for each in choices if each.name == "host"), choices[0])
    display.field("resident", choice)
    on_device = pixels if choice.name == "gpu" or backend.device.type == "cpu" else 0
    if free is not None and on_device + step > free:
        display.warn("this may not fit; lower --batch-size or --width, or raise --accumulate, if it does not")
    return replace(backend, resident=choice)


def _load(store: Store, backend: Backend, display: Display) -> Galaxies:
    on_host = backend.resident is not None and backend.resident.name == "host"
    pixels_on = torch.device("cpu") if on_host else backend.device
    with display.progress("reading", "images") as show:
        return load(store, backend.device, lambda done: show(done, len(store.ids)), pixels_on)
