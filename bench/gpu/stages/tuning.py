"""Find the fastest launch settings on this GPU: the candidates take turns, round by round."""

import dataclasses
import itertools
from collections.abc import Callable

import torch

from bench.gpu.stages.stage import begin
from bench.kernels.augment_rows import ROWS
from bench.kernels.loss_rows import inputs, loss_call
from bench.kernels.measure import device_times, quartiles
from bench.kernels.scene import Scene
from galaxy_triton.kernels import launch_settings
from galaxy_triton.kernels.launch_settings import Launch, Settings

ROUNDS = 9
GAIN = 0.98  # of the default's time: a candidate must be faster by more than noise

# kernel -> tiles, warps, and the largest number of values for which one program works alone
TRIED = {
    "augment": ((512, 1024, 2048), (4, 8, 16), (0,)),
    "sigmoid": ((2048, 4096), (8, 16), (8192, 16384, 65536)),
    "tree": ((256, 512, 1024), (4, 8), (0,)),
}

# Returns the call to time.
Make = Callable[[], Callable[[], object]]


def candidates(kernel: str) -> list[Launch]:
    """Settings to try, the default first."""
    default = getattr(Settings(), kernel)
    others = [Launch(*numbers) for numbers in itertools.product(*TRIED[kernel])]
    return [default, *(launch for launch in others if launch != default)]


def use(kernel: str, launch: Launch, device: torch.device) -> None:
    """Use these settings from the next launch on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    launch_settings.BY_GPU[name] = dataclasses.replace(Settings(), **{kernel: launch})
    launch_settings.settings.cache_clear()


def augment_makes(device: torch.device, small: bool) -> dict[str, Make]:
    count, side, size, batches = (64, 24, 16, (4,)) if small else (20_000, 160, 128, (512, 64))
    store = torch.randint(0, 256, (count, side, side, 4), dtype=torch.uint8, device=device)
    dtype = torch.float16 if small else torch.bfloat16

    def make(batch: int) -> Callable[[], object]:
        fill = ROWS["Triton, drawing its own"].build(Scene(store, size, batch, dtype))
        lists = itertools.cycle(torch.randperm(count, device=device)[: count // batch * batch].split(batch))
        return lambda: fill(next(lists))

    return {f"{batch} views": lambda batch=batch: make(batch) for batch in batches}


def loss_makes(name: str, device: torch.device, small: bool) -> dict[str, Make]:
    batches = (4,) if small else (256, 4096, 65536)
    return {f"{batch} rows": lambda batch=batch: loss_call(name, "triton", *inputs(batch, device)) for batch in batches}


def tune(found, kernel: str, makes: dict[str, Make], device: torch.device, rounds: int) -> Launch:
    """The candidate with the lowest geometric mean of its times relative to the default's."""
    tried = candidates(kernel)
    ratios = dict.fromkeys(tried, 1.0)
    for what, make in makes.items():
        times = timed(kernel, tried, make, device, rounds)
        for launch in tried:
            ratio = times[launch][1] / times[tried[0]][1]
            ratios[launch] *= ratio ** (1 / len(makes))
            found.row(kernel=kernel, what=what, **dataclasses.asdict(launch), us=times[launch], of_default=ratio)
    best = min(tried, key=ratios.__getitem__)
    return best if ratios[best] < GAIN else tried[0]


def timed(kernel: str, tried: list[Launch], make: Make, device: torch.device, rounds: int) -> dict[Launch, list[float]]:
    """Quartiles of microseconds a call; the candidates take turns, so that a drift of the clock meets all alike."""
    taken: dict[Launch, list[float]] = {launch: [] for launch in tried}
    call = make()
    for turn in range(rounds + 1):
        for launch in tried:
            use(kernel, launch, device)
            times = device_times(call, device, 1)
            if turn:  # the first compiles
                taken[launch] += times
    return {launch: quartiles(times) for launch, times in taken.items()}


def main() -> None:
    arguments, found = begin()
    device = torch.device(arguments.device)
    rounds = 1 if arguments.small else ROUNDS
    makes = {"augment": augment_makes(device, arguments.small)}
    makes |= {name: loss_makes(name, device, arguments.small) for name in ("sigmoid", "tree")}
    best = {}
    for kernel in makes:
        best[kernel] = tune(found, kernel, makes[kernel], device, rounds)
        use(kernel, getattr(Settings(), kernel), device)
        found.fact("settings", repr(dataclasses.replace(Settings(), **best)))


if __name__ == "__main__":
    main()
