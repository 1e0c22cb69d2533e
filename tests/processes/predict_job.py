"""One of several processes that carry out commands one after the other, and what it read for each.

    RANK=r WORLD_SIZE=n MASTER_ADDR=127.0.0.1 python predict_job.py COMMANDS.json FOUND

The file lists commands with a port for each. FOUND-r.json gets a list of [exit code, what was said, what was read].
In the command "die", process 1 is gone after the first part.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from galaxy_triton.cli.main import main
from galaxy_triton.data import store as store_module
from galaxy_triton.predict import submission as predict
from galaxy_triton.predict.predictor import Predictor

CHUNK, BLOCK_ROWS = 5, 7  # images of a part of a folder, and of a store
RANK = os.environ.get("RANK", "0")

read: list[str] = []


def small_parts() -> None:
    """Cut the sky of the tests into many parts, and note which are read."""
    predict.CHUNK, store_module.BLOCK_BYTES = CHUNK, BLOCK_ROWS * 24 * 24 * 4
    decode, read_block = predict.decode_images, predict.read_block

    def noting_images(source: Any, *arguments: Any) -> Any:
        read.extend(entry.stem for entry in source.entries)
        return decode(source, *arguments)

    def noting_block(opened: Any, number: int) -> Any:
        read.append(str(number))
        return read_block(opened, number)

    predict.decode_images, predict.read_block = noting_images, noting_block


def die_early() -> None:
    """End this process at its first part, without a word to the others."""
    Predictor.answer_pixels = lambda *arguments: os._exit(9)  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    small_parts()
    found = []
    for port, *arguments in json.loads(Path(sys.argv[1]).read_text()):
        os.environ["MASTER_PORT"] = str(port)
        if arguments[0] == "die" and RANK == "1":
            die_early()
        read.clear()
        result = CliRunner().invoke(main, arguments[1:] if arguments[0] == "die" else arguments)
        ended = result.exception is None or isinstance(result.exception, SystemExit)
        found.append([result.exit_code, result.output if ended else f"Traceback: {result.exception!r}", [*read]])
        Path(f"{sys.argv[2]}-{RANK}.json").write_text(json.dumps(found))
