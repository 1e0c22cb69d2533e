"""What trainings on the same galaxies share: the store on the device, the machine, and the processes that share it."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from galaxy_triton.config.schema import Config
from galaxy_triton.data.feed import batch_of
from galaxy_triton.data.galaxies import Galaxies, answers_by_row, load
from galaxy_triton.data.split import Split
from galaxy_triton.data.store import Store, labelled_rows
from galaxy_triton.galaxyzoo.tables import read_ids
from galaxy_triton.model.backend import Backend
from galaxy_triton.model.device import Choice, be_deterministic
from galaxy_triton.model.memory import free_for_one, residence, step_bytes
from galaxy_triton.predict.predictor import Answers
from galaxy_triton.simulation.first_run import DemoSky, prepare
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import UsageFault, expected
from galaxy_triton.system.processes import Processes
from galaxy_triton.train.batch_size import largest_batch
from galaxy_triton.train.finetune import Start
from galaxy_triton.train.loop import Plan
from galaxy_triton.train.options import Proposal


@dataclass(frozen=True)
class Ground:
    """Galaxies that are loaded, and how they are trained on.

    machine: with the place of the pixels settled. truth: the true probabilities of a simulated sky by row, float32
    [N, 37], as they stand in truth_table. start: what runs that are fine-tuned begin with.
    """

    config: Config
    backend: Backend
    store: Store
    galaxies: Galaxies
    truth: Answers | None
    truth_table: Path | None
    processes: Processes
    start: Start | None

    def plan(self, split: Split, folder: Path) -> Plan:
        """Of a run in this folder."""
        return Plan(
            self.config, self.backend, self.galaxies, split, self.store.hash, folder, self.processes, self.start
        )


def agreed(proposal: Proposal, processes: Processes) -> Proposal:
    """The first process's folder, in which nobody begins before all have looked.

    Raises:
        UsageFault: the processes do not choose alike; their gradients would not fit together.
    """
    if (differing := processes.differing(proposal.backend.chosen())) is not None:
        do = "name --precision, --augment, --loss, --body and --norm, or use machines of one kind"
        raise UsageFault(expected("the same choices in all processes", differing, "the machines", do))
    return replace(proposal, folder=processes.agree(proposal.folder))


def draw_sky(proposal: Proposal, display: Display) -> None:
    """Have the simulated sky of a proposal ready, where it is of one.

    Raises:
        DataFault: the cache cannot be written, or images are missing there.
    """
    if proposal.demo is not None:
        prepare(proposal.demo, proposal.config.preprocess, display)


def sky_to_draw(proposal: Proposal) -> DemoSky | None:
    """The simulated sky of a proposal that is not ready yet."""
    return None if proposal.store.exists() else proposal.demo


def say_sky_to_draw(sky: DemoSky, display: Display) -> None:
    """What `draw_sky` would do."""
    verb = "pack" if sky.folder.exists() else "draw and pack"
    display.say(f"Would {verb} {sky.count:,} simulated galaxies in {sky.folder}")


def say_choices(proposal: Proposal, display: Display) -> None:
    """The recipe, and what was chosen for this machine."""
    config = proposal.config
    display.note(f"{'recipe':<10} {config.recipe}: {config.network.name}, {config.run.epochs} epochs")
    for line in proposal.backend.lines():
        display.note(line)


def say_processes(here: Processes, display: Display) -> None:
    """How many there are, where there are several."""
    if here.count > 1:
        display.note(f"{'processes':<10} {here.count}, each with its part of every batch")


def warn_of_unknown(table: Path, store: Store, display: Display) -> None:
    """Say how many ids of a table are no labelled galaxies of the store."""
    unknown = int((~np.isin(read_ids(table), store.ids[labelled_rows(store)])).sum())
    if unknown:
        display.warn(f"{unknown} ids of {table} are no labelled galaxies of the store")


def lay(proposal: Proposal, store: Store, processes: Processes, display: Display) -> Ground:
    """Load the galaxies of a proposal, in all processes alike.

    Raises:
        UsageFault: a place for the pixels that this machine does not have.
        DataFault: no room for them, or a store that is damaged or without labels.
    """
    truth = None if proposal.truth is None else answers_by_row(proposal.truth, store)
    choices = processes.gather(settled_residence(proposal, store, processes, display))
    # Where it does not fit for one, it does for none: the batches of all come the same way.
    choice = next((each for each in choices if each.name == "host"), choices[0])
    backend = replace(proposal.backend, resident=choice)
    with display.progress("reading", "images") as show:
        pixels_on = torch.device("cpu") if choice.name == "host" else backend.device
        galaxies = load(store, backend.device, lambda done: show(done, len(store.ids)), pixels_on)
    return Ground(proposal.config, backend, store, galaxies, truth, proposal.truth, processes, proposal.start)


def settled_residence(proposal: Proposal, store: Store, here: Processes, display: Display) -> Choice:
    """Where this process has the pixels; what they and a step need is said.

    Raises:
        UsageFault, DataFault: as `lay`.
    """
    backend, device = proposal.backend, proposal.backend.device
    pixels, free = store.pixels.nbytes, free_for_one(device, here)
    step = step_bytes(proposal.config, backend, here.count)
    known = "unknown" if free is None else f"{free / 2**20:,.0f} MiB"
    needed = f"{pixels / 2**20:,.0f} MiB for the pixels, about {step / 2**20:,.0f} MiB for a step"
    display.note(f"{'memory':<10} {needed}; free: {known}")
    choice = residence(proposal.config.run.resident, device, pixels, step, free)
    display.note(f"{'resident':<10} {choice.name:<8} {choice.why}")
    held = pixels if choice.name == "gpu" or device.type == "cpu" else 0
    if free is not None and held + step > free:
        display.warn("this may not fit; lower --batch-size or --width, or raise --accumulate, if it does not")
    return choice


def with_largest_batch(ground: Ground, split: Split, display: Display) -> Ground:
    """The ground with the largest batches that fit in all processes.

    Raises:
        UsageFault: a system that does not say how much memory is free.
        DataFault: not even one galaxy fits.
    """
    config, backend, processes = ground.config, ground.backend, ground.processes
    if config.run.deterministic:
        be_deterministic()
    rows = torch.from_numpy(split.train).to(backend.device)
    found = largest_batch(config, backend, lambda size: batch_of(ground.galaxies, rows[:size]), len(rows), processes)
    size = min(processes.gather(found))
    each = f", {size // processes.count} in each process" * (processes.count > 1)
    display.note(f"{'batch':<10} {size:<8} the largest power of two that fits{each}")
    return replace(ground, config=replace(config, run=replace(config.run, batch_size=size)))
