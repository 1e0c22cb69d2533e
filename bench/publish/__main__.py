"""Measure every row that can run here, keep the figures, and write the README's tables from all that is kept.

    python -m bench.publish             # bench/results/kernels-<gpu or cpu>.json; then the tables
    python -m bench.publish --tables    # only the tables

Needs `pip install '.[bench]'`, for DALI `'.[bench,dali]'`; a peer that is not installed is left out by name.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from bench.publish.suites import BENCH, CPU, SUITES, condense, file_name, run
from bench.publish.tables import tables
from galaxy_triton.system.whole_files import whole_file

RESULTS = BENCH / "results"
README = BENCH.parent / "README.md"
BEGIN, END = "<!-- benchmarks: begin -->\n", "<!-- benchmarks: end -->\n"
OWN = "kernels-"  # begins the names of the files that are written here


def main() -> int:
    options = _options()
    left_out = [] if options.tables else keep(measured(options.small), options.results)
    with_tables = rewritten(options.readme.read_text(), read(options.results))
    with whole_file(options.readme) as file:
        file.write_text(with_tables)
    return 1 if any(entry["failed"] for entry in left_out) else 0


def measured(small: bool) -> dict:
    """Every suite, one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        files = {suite: Path(folder) / f"{suite}.jsonl" for suite in SUITES}
        result = condense({file: run(suite, file, small=small) for suite, file in files.items()})
    return {"command": " ".join(["python", "bench/publish.py", *sys.argv[1:]]), **result}


def keep(result: dict, folder: Path) -> list[dict]:
    """Write a result to its file, whole or not at all; what it leaves out is said and returned."""
    with whole_file(folder / (OWN + file_name(result["made_with"]["gpu"] or CPU))) as file:
        file.write_text(json.dumps(result, indent=1) + "\n")
    for entry in result["left_out"]:
        print(f"left out: {entry['what']}, {entry['row']}, {entry['batch']}: {entry['reason']}")
    return result["left_out"]


def read(folder: Path) -> list[dict]:
    """The result of each machine in a folder, GPUs first: publish.py's own, or where there is none on_gpu.py's."""
    files = sorted(folder.glob("*.json"), key=lambda file: file.name.startswith(OWN))
    contents = [json.loads(file.read_text()) for file in files]
    found = [content.get("stages", {}).get("benchmarks", content) for content in contents]
    results = [result for result in found if result.keys() >= {"made_with", "rows", "left_out"}]
    by_machine = {result["made_with"]["gpu"] or CPU: result for result in results}
    return sorted(by_machine.values(), key=lambda result: not result["made_with"]["gpu"])


def rewritten(readme: str, results: list[dict]) -> str:
    """The README with the tables of these results between its two marks."""
    before, rest = readme.split(BEGIN)
    return before + BEGIN + tables(results) + END + rest.split(END)[1]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", action="store_true", help="measure nothing")
    parser.add_argument("--small", action="store_true", help="tiny sizes, to try it")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--readme", type=Path, default=README, help="whose tables are written")
    options = parser.parse_args()
    if options.small and (options.results == RESULTS or options.readme == README):
        parser.error("--small measures toys: give --results and --readme elsewhere")
    return options


if __name__ == "__main__":
    sys.exit(main())
