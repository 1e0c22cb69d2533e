"""A simulated sky in the layout of Kaggle's data: pictures of galaxies, volunteers' answers and true answers."""

import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.random import PCG64, Generator, SeedSequence
from numpy.typing import NDArray
from PIL import Image

from galaxy_triton.config.schema import require
from galaxy_triton.data.store import Progress
from galaxy_triton.galaxyzoo.write_tables import write_answers
from galaxy_triton.simulation.morphology import Galaxy, draw_galaxy
from galaxy_triton.simulation.render import render
from galaxy_triton.simulation.volunteers import answer_shares, true_answers, vote
from galaxy_triton.system.output_paths import require_new_folder
from galaxy_triton.system.whole_files import whole_folder

VERSION = 1  # of the population, the pictures and the files
IMAGES, VOTES, TRUTH = "images_training_rev1", "training_solutions_rev1.csv", "true_probabilities.csv"
NOISE_FLOOR = "noise_floor.json"
FIRST_ID, LAST_ID = 100_000, 999_999  # Kaggle's have six digits
JPEG_QUALITY = 75  # Kaggle's, by the quantisation tables of its files

Floats = NDArray[np.float64]


class Answers(NamedTuple):
    """The answers about a galaxy, float64 [37] each."""

    votes: Floats
    truth: Floats


def simulate(
    out: Path,
    count: int,
    seed: int,
    *,
    volunteers: int = 40,
    workers: int,
    progress: Progress = lambda done, total: None,
) -> float:
    """Write `count` simulated galaxies and their answers into the new folder `out`, whole or not at all.

    `out` gets images_training_rev1/<GalaxyID>.jpg (424 x 424, RGB), training_solutions_rev1.csv (fractions of the
    volunteers), true_probabilities.csv (the limit of infinitely many volunteers; same columns) and noise_floor.json
    (the RMSE between the two tables). A galaxy depends on (seed, its index) alone, not on `count` or `workers`; its
    picture does not depend on `volunteers`. The same versions on the same machine write the same bytes.

    Args:
        out: the folder, absent or empty.
        count: number of galaxies, 1 to 900,000.
        seed: from 0 to 2^63 - 1.
        volunteers: people who answer about each galaxy.
        workers: threads.
        progress: called after each galaxy with (galaxies done, count).

    Returns:
        The noise floor: RMSE of the true probabilities against the votes; no model can score less.

    Raises:
        UsageFault: `out` exists; an impossible count, seed, or number of volunteers or workers.
        DataFault: `out` cannot be written.
    """
    require(1 <= count <= LAST_ID - FIRST_ID + 1, "count", "from 1 to 900000", count)
    require(0 <= seed < 2**63, "seed", "from 0 to 2^63 - 1", seed)
    require(volunteers >= 1, "volunteers", "at least 1", volunteers)
    require(workers >= 1, "workers", "at least 1", workers)
    require_new_folder(out, "OUT")
    ids = galaxy_ids(seed, count)
    with whole_folder(out) as folder:
        (folder / IMAGES).mkdir()
        answers = []
        for answer in _pictures(folder / IMAGES, ids, seed, volunteers, workers):
            answers.append(answer)
            progress(len(answers), count)
        # by ascending id, as in Kaggle's tables
        order = np.argsort(ids)
        votes, truth = (np.stack(values)[order] for values in zip(*answers, strict=True))
        write_answers(folder / VOTES, [(ids[order], votes)])
        write_answers(folder / TRUTH, [(ids[order], truth)])
        noise_floor = float(np.sqrt(np.mean((votes - truth) ** 2)))
        values = {"version": VERSION, "rmse": noise_floor, "count": count, "seed": seed, "volunteers": volunteers}
        (folder / NOISE_FLOOR).write_text(json.dumps(values, indent=1) + "\n")
    return noise_floor


def galaxy_ids(seed: int, count: int) -> NDArray[np.int64]:
    """The ids of the first `count` galaxies of a seed: int64 [count], six digits, unique, unordered."""
    # random numbers of a galaxy have the key (index, part); these have the empty key
    everything = Generator(PCG64(SeedSequence(seed))).permutation(LAST_ID - FIRST_ID + 1)
    return np.asarray(everything[:count] + FIRST_ID, dtype=np.int64)


def simulate_galaxy(seed: int, index: int, volunteers: int) -> tuple[Galaxy, NDArray[np.uint8], Answers]:
    """Draw a galaxy, its picture (uint8 [424, 424, 3]) and its answers."""
    seeds = (SeedSequence(seed, spawn_key=(index, part)) for part in range(3))
    structure, picture, people = (Generator(PCG64(sequence)) for sequence in seeds)
    galaxy = draw_galaxy(structure)
    shares = answer_shares(galaxy)
    answers = Answers(vote(shares, volunteers, people), true_answers(shares))
    return galaxy, render(galaxy, picture), answers


def _pictures(folder: Path, ids: NDArray[np.int64], seed: int, volunteers: int, workers: int) -> Iterator[Answers]:
    """Write the picture of every galaxy into `folder`; yield their answers in the order of `ids`."""

    def work(index: int) -> Answers:
        _, pixels, answers = simulate_galaxy(seed, index, volunteers)
        # bytes first: on a full disk Pillow's own writer leaves half an image and says nothing
        content = io.BytesIO()
        Image.fromarray(pixels).save(content, "JPEG", quality=JPEG_QUALITY)
        (folder / f"{ids[index]}.jpg").write_bytes(content.getvalue())
        return answers

    # threads suffice, as NumPy and Pillow release the GIL; they end with their process, even if it is killed
    pool = ThreadPoolExecutor(workers)
    try:
        yield from pool.map(work, range(len(ids)))
    finally:
        pool.shutdown(cancel_futures=True)
