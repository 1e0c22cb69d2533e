"""The frame of every suite: one way to measure a row, and a file to which each row is written as it ends.

A test is one row of a table; its parameters what, row and batch name it.
"""

import functools
import gc
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from bench.kernels.measure import Effort, beyond_wall, gpu_memory, quartiles, rates, seconds, wait
from bench.publish.made_with import made_with

NAMES = ("what", "row", "batch")
DEADLINE = pytest.StashKey[float]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rows", type=Path, help="write a line of JSON for each row to this file")
    parser.addoption("--budget", type=float, default=float("inf"), help="seconds after which no further row starts")
    parser.addoption("--small", action="store_true", help="tiny sizes, to try the suites themselves")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.option.dist = "no"  # pytest-benchmark refuses to time rows that pytest-xdist may spread
    config.stash[DEADLINE] = time.monotonic() + config.getoption("--budget")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:  # a library's warnings are no fault of its row
        item.add_marker(pytest.mark.filterwarnings("default"))


def pytest_collection_finish(session: pytest.Session) -> None:
    file = session.config.getoption("--rows")
    if file:
        planned = [_named(item) for item in session.items]
        head = {"made_with": made_with(_device()) | {"rates": rates(_device())}, "planned": planned}
        file.write_text(json.dumps(head) + "\n")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Iterator[None]:
    report = yield
    file = item.config.getoption("--rows")
    if file and (report.when == "call" or not report.passed):
        line = {**_named(item), "outcome": report.outcome, "reason": _reason(call), **dict(item.user_properties)}
        with file.open("a") as handle:
            handle.write(json.dumps(line) + "\n")
    return report


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, object]) -> None:
    machine_info.update(made_with(_device()))


@pytest.fixture(scope="session")
def device() -> torch.device:
    return _device()


@pytest.fixture(scope="session")
def small(pytestconfig: pytest.Config) -> bool:
    return bool(pytestconfig.getoption("--small"))


@pytest.fixture(autouse=True)
def started_in_time(request: pytest.FixtureRequest) -> None:
    if time.monotonic() > request.config.stash[DEADLINE]:
        pytest.skip("not started: the time was used up")


@pytest.fixture(autouse=True)
def fresh_start(started_in_time: None) -> None:
    """Forget functions compiled for another batch size, and free the memory of other rows."""
    torch.compiler.reset()
    gc.collect()
    torch.cuda.empty_cache()


@pytest.fixture
def timed(benchmark, device: torch.device, small: bool, record_property) -> Callable[..., None]:
    """timed(make, differs=...): measure the call that `make()` returns; keywords are stored with the figures."""
    effort = Effort(0.1, 2, 3) if small else Effort(0.5, 5, 40) if device.type == "cuda" else Effort(2.0, 5, 400)

    def run(make: Callable[[], Callable[[], object]], **kept: object) -> None:
        before = gpu_memory(device)
        call = make()
        kept["first_call_s"] = seconds(call, device)
        rounds = effort.rounds(min(seconds(call, device) for _ in range(2)))
        setup = functools.partial(wait, device)
        benchmark.pedantic(lambda: (call(), wait(device)), setup=setup, rounds=rounds)
        kept["wall_us"] = [second * 1e6 for second in quartiles(benchmark.stats.stats.data)]
        kept |= beyond_wall(call, device, rounds, before)
        benchmark.extra_info.update(kept)
        for name, value in kept.items():
            record_property(name, value)

    return run


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _named(item: pytest.Item) -> dict[str, object]:
    return {name: item.callspec.params[name] for name in NAMES}


def _reason(call: pytest.CallInfo) -> str:
    """Why a row was skipped or failed, as one line."""
    said = call.excinfo.exconly().splitlines()[0] if call.excinfo else ""
    return said.removeprefix("Skipped: ")
