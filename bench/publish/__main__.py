"""Time every row that can run on this machine, keep the figures, and write the figures of all pages.

    python -m bench.publish             # bench/results/kernels-<gpu or cpu>.json, then the pages
    python -m bench.publish --tables    # only the pages

Needs `pip install -e '.[bench]'`, for DALI `'.[bench,dali]'`. A library that is not installed is left out by name.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from bench.publish import pages
from bench.publish.suites import SUITES, condense, keep, run
from bench.scripts import option_parser


def main() -> int:
    options = _options()
    left_out = [] if options.tables else keep(measure(options.small), options.results)
    for entry in left_out:
        print(f"left out: {entry['what']}, {entry['row']}, {entry['batch']}: {entry['reason']}")
    if options.results == pages.RESULTS:
        pages.write()
    return 1 if any(entry["failed"] for entry in left_out) else 0


def measure(small: bool) -> dict:
    """Run every suite, one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        files = {suite: Path(folder) / f"{Path(suite).stem}.jsonl" for suite in SUITES}
        result = condense({file: run(suite, file, small=small) for suite, file in files.items()})
    return {"command": " ".join(["python -m bench.publish", *sys.argv[1:]]), **result}


def _options() -> argparse.Namespace:
    parser = option_parser(__doc__)
    parser.add_argument("--tables", action="store_true", help="measure nothing")
    parser.add_argument("--small", action="store_true", help="tiny sizes, to try the command; needs --results")
    parser.add_argument(
        "--results", type=Path, default=pages.RESULTS, help="folder of the results; the pages show bench/results only"
    )
    options = parser.parse_args()
    if options.small and options.results == pages.RESULTS:
        parser.error("--small measures toys: give --results elsewhere")
    return options


if __name__ == "__main__":
    sys.exit(main())
