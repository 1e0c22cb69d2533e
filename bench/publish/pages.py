"""The pages of this repository, with figures that are written from bench/results.

A page of prose has its figures between two marks, `<!-- figures: NAME -->` and `<!-- end of figures -->`; a page beside
a result is made of that result alone.
"""

import json
import re
from pathlib import Path

from bench.accuracy import axes_page, seed_page
from bench.publish.figures import FIGURES
from galaxy_triton.system.whole_files import whole_file

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "bench" / "results"
PAGES = tuple(
    ROOT / name
    for name in (
        "README.md",
        "galaxy_triton/README.md",
        "kernels/README.md",
        "bench/README.md",
        "tests/README.md",
        "CHANGELOG.md",
    )
)
PAGES_OF_RESULTS = {
    "axes-cpu.md": axes_page.page,
    "axes-networks-cpu.md": axes_page.page,
    "seed-score-cpu.md": seed_page.page,
}
BLOCK = re.compile(r"(<!-- figures: (?P<name>[\w-]+) -->\n).*?(<!-- end of figures -->\n)", re.DOTALL)


def current() -> dict[Path, str]:
    """The text of every page with the figures of today's results."""
    texts = {page: with_figures(page.read_text(), RESULTS) for page in PAGES}
    for name, page in PAGES_OF_RESULTS.items():
        file = RESULTS / name
        texts[file] = page(json.loads(file.with_suffix(".json").read_text()))
    return texts


def write() -> None:
    """Write every page anew."""
    for page, text in current().items():
        with whole_file(page, replace=True) as file:
            file.write_text(text)


def with_figures(text: str, results: Path) -> str:
    """A page's text with the figures of a folder of results between its marks.

    Raises:
        KeyError: a mark names figures that do not exist.
    """
    return BLOCK.sub(lambda block: f"{block[1]}\n{FIGURES[block['name']](results)}\n\n{block[3]}", text)
