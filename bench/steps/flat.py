"""The time of a galaxy in epochs of 10,000, 100,000 and a million: it should be the same.

    python -m bench.steps.flat [--small]

The pixels of a few thousand galaxies are used again under other ids, so that no machine has to hold a million. Steps
are those of the recipe `seed` with the implementations of `auto`. An epoch's order is drawn whole; its steps are
sampled.
"""

import json

import torch
from torch import Tensor

from bench.kernels.measure import quartiles, seconds
from bench.publish.made_with import made_with
from bench.scripts import option_parser
from galaxy_triton.config.recipes import SEED
from galaxy_triton.config.schema import Config
from galaxy_triton.config.toml import override
from galaxy_triton.data.feed import Batch
from galaxy_triton.data.order import epoch_batches
from galaxy_triton.model.backend import choose
from galaxy_triton.train.learner import Learner

COUNTS = (10_000, 100_000, 1_000_000)
STORED, WARM, ROUNDS = 4000, 5, 5  # galaxies with pixels of their own; steps before the clock, and bursts on it
TINY = {"preprocess.size": 24, "augmentation.size": 16, "network.widths": "4,8", "network.hidden": 8}


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--small", action="store_true", help="a tiny network, to try it")
    small = parser.parse_args().small
    config = override(SEED, TINY if small else {"run.batch_size": 256})
    rows = [cost(config, count, steps=2 if small else 20) for count in COUNTS]
    print(json.dumps({"made_with": made_with(choose(config).device), "rows": rows}, indent=1))


def cost(config: Config, count: int, steps: int) -> dict[str, float]:
    """Microseconds per galaxy in an epoch of `count`: for its order, its steps, and both."""
    backend = choose(config)
    device, side = backend.device, config.preprocess.size
    pixels = torch.randint(0, 256, (STORED, side, side, 4), dtype=torch.uint8, device=device)
    ids, answers = torch.arange(count, device=device) + 100_000, torch.rand(STORED, 37, device=device)
    learner = Learner(config, backend, torch.full((37,), 0.5), config.run.batch_size, 10**6)
    learner.network.train()

    def order(epoch: int) -> tuple[Tensor, ...]:
        return epoch_batches(torch.arange(count, device=device), ids, 1, epoch, config.run.batch_size)

    def burst(batches: tuple[Tensor, ...], first: int) -> None:
        for number, rows in enumerate(batches[:steps], first):
            places = rows % STORED
            learner.step(Batch(pixels, places, ids[rows], answers[places]), torch.tensor(0, device=device), number)

    batches = order(0)
    burst(batches[:WARM], 0)
    ordered = quartiles([seconds(lambda: order(1), device) for _ in range(ROUNDS)])[1]
    stepped = quartiles([seconds(lambda: burst(batches, WARM), device) for _ in range(ROUNDS)])[1]
    galaxies = sum(map(len, batches[:steps]))
    each = {"order_us": ordered / count * 1e6, "step_us": stepped / galaxies * 1e6}
    return {"galaxies": count, **each, "us": sum(each.values())}


if __name__ == "__main__":
    main()
