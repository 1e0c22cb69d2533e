"""A run's network as a program of plain torch: decoded images in, answers out, with the steps of `predict` inside."""

import copy
import io
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from galaxy_triton.config.schema import MAX_SIDE, Preprocess
from galaxy_triton.data.images import decode_images, open_images, preprocess_image
from galaxy_triton.data.order import slices
from galaxy_triton.galaxyzoo.questions import COLUMNS
from galaxy_triton.model.views import fixed_affines, warp_views
from galaxy_triton.predict.pillow_resize import PillowResize
from galaxy_triton.predict.predictor import Predictor, load_predictor
from galaxy_triton.runs import folder as run_folder
from galaxy_triton.simulation.sky import simulate_galaxy
from galaxy_triton.system.console import Display
from galaxy_triton.system.errors import DataFault, UsageFault, expected
from galaxy_triton.system.output_paths import check_file
from galaxy_triton.system.processes import require_alone
from galaxy_triton.system.provenance import provenance
from galaxy_triton.system.whole_files import whole_file

VERSION = 1  # of the description
DESCRIPTION = "galaxy-triton.json"  # an extra file inside the program's
SUFFIX = ".pt2"
# Both see the same bytes, so only the rounding of fp32 sums differs: about 1e-7 of an answer.
TOLERANCE = 1e-5  # of an answer, from 0 to 1
COMPARED, SIMULATED = 64, 8  # images to compare on: at most, and how many are simulated where none are given
# A bound, as torch 2.6 makes a guard of "the batch does not end where a whole slice does, at 2**63 - 1".
MAX_BATCH = 2**16
BATCH = 4  # images that the program is compared on at a time: it makes all views of a batch at once

Frames = NDArray[np.uint8]  # [n, frame, frame, 3]


@dataclass(frozen=True)
class ExportOptions:
    """What is exported.

    which: the checkpoint, "last" or "best". views: fixed rotations and flips to average over. compare: a folder or zip
    of images to compare on, None for simulated galaxies. overwrite: whether an existing file may be replaced.
    """

    which: str = run_folder.LAST
    views: int = 16
    compare: Path | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class Comparison:
    """How far a program is from `predict`.

    images: how many were compared. pixels: bytes of the resized images that differ. largest, rms: differences of the
    answers, which lie in [0, 1].
    """

    images: int
    pixels: int
    largest: float
    rms: float


class Program(nn.Module):
    """The steps of `predict` from decoded images to answers, in operations that torch.export can follow."""

    affines: Tensor  # fp32 [V, 2, 3]

    def __init__(self, predictor: Predictor, views: int) -> None:
        super().__init__()
        preprocess, self.augmentation = predictor.config.preprocess, predictor.config.augmentation
        self.resize = PillowResize(preprocess)
        affines = fixed_affines(views, preprocess.size, self.augmentation.size, torch.device("cpu"))
        self.register_buffer("affines", affines)
        # torch.export.save warns of tensors in channels_last.
        network = copy.deepcopy(predictor.network).to(memory_format=torch.contiguous_format)
        self.network = network.eval().requires_grad_(False)
        self.probabilities = predictor.head.probabilities

    def forward(self, frames: Tensor) -> Tensor:
        """uint8 [B, 3, frame, frame] -> fp32 [B, 37]."""
        # `len` would make the batch size a constant of the program.
        views, batch = self.affines.shape[0], frames.shape[0]
        images = self.resize(frames).to(torch.float32) / 255
        affines = self.affines[:, None].expand(views, batch, 2, 3).flatten(0, 1)
        logits = self.network(warp_views(images.repeat(views, 1, 1, 1), affines, self.augmentation))
        answers: Tensor = self.probabilities(logits).view(views, batch, -1).mean(0)
        return answers


def export(run: Path, out: Path, options: ExportOptions, display: Display) -> Comparison:
    """Write a run's network into `out` as a program that `torch.export.load` reads, where only torch is installed.

    The program takes RGB images, uint8 [B, 3, frame, frame] with B up to 65,536, and gives what `predict` answers on a
    CPU: fp32 [B, 37] in [0, 1]. Its extra file galaxy-triton.json describes it. Before `out` is written, the program is
    loaded and compared with `predict`.

    Raises:
        UsageFault: as `check_file`; several processes.
        DataFault: no run or images there, an answer that differs by more than TOLERANCE, or `out` cannot be written;
            `out` is then as it was.
    """
    require_alone("export")
    check_file(out, "--out", (SUFFIX,), options.overwrite)
    predictor = load_predictor(run, options.which, "cpu")
    preprocess = predictor.config.preprocess
    frames = simulated_frames(preprocess.frame) if options.compare is None else _decode(options.compare, preprocess)
    display.note(f"exporting {run / options.which} on the CPU in fp32, {options.views} views")
    content = serialised(Program(predictor, options.views), preprocess.frame, _description(predictor, options))
    comparison = compare(content, predictor, frames, options.views)
    # Not `>`: a difference of NaN must fail too.
    if not comparison.largest <= TOLERANCE:
        got = f"{comparison.largest:.1e} from them, with {comparison.pixels} bytes of the resized images different"
        do = "report it with the output of `galaxy-triton doctor`, and try another torch or Pillow"
        raise DataFault(expected(f"answers within {TOLERANCE} of the network's", got, "the exported program", do))
    with whole_file(out, replace=options.overwrite) as temporary:
        temporary.write_bytes(content)
    return comparison


def serialised(program: Program, frame: int, description: dict[str, object]) -> bytes:
    """The content of the file that torch.export.load reads. frame: side of the images in pixels."""
    example = torch.zeros(2, 3, frame, frame, dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1, max=MAX_BATCH)
    exported = torch.export.export(program, (example,), dynamic_shapes=({0: batch},), strict=False)
    for node in exported.graph.nodes:
        node.meta.pop("stack_trace", None)  # contains paths of this machine
    # Into memory first: a full disk then raises an OSError with its reason.
    buffer = io.BytesIO()
    torch.export.save(exported, buffer, extra_files={DESCRIPTION: json.dumps(description, indent=1)})
    return buffer.getvalue()


def compare(content: bytes, predictor: Predictor, frames: Frames, views: int) -> Comparison:
    """Compare a serialised program with the network, whose images are resized by Pillow."""
    preprocess = predictor.config.preprocess
    pixels = np.stack([preprocess_image(Image.fromarray(frame), preprocess) for frame in frames])
    batches = [torch.from_numpy(frames[part]).permute(0, 3, 1, 2) for part in slices(len(frames), BATCH)]
    resized = torch.cat([PillowResize(preprocess)(batch) for batch in batches]).permute(0, 2, 3, 1).numpy()
    program = torch.export.load(io.BytesIO(content)).module()
    answers = torch.cat([program(batch) for batch in batches]).numpy()
    wanted = predictor.answer_pixels(np.pad(pixels, ((0, 0), (0, 0), (0, 0), (0, 1))), views, COMPARED)
    difference = answers - wanted.astype(np.float64)
    return Comparison(
        len(frames),
        int((resized != pixels).sum()),
        float(np.abs(difference).max()),
        float(np.sqrt(np.square(difference).mean())),
    )


def simulated_frames(frame: int) -> Frames:
    """Simulated galaxies as images of side `frame`: uint8 [8, frame, frame, 3]."""
    pictures = (Image.fromarray(simulate_galaxy(1, index, volunteers=1)[1]) for index in range(SIMULATED))
    return np.stack([np.asarray(picture.resize((frame, frame))) for picture in pictures])


def _decode(path: Path, preprocess: Preprocess) -> Frames:
    if preprocess.frame > MAX_SIDE:
        want, got = f"a run on images of at most {MAX_SIDE} pixels a side to compare with", preprocess.frame
        raise UsageFault(expected(want, got, "--compare", "leave it out"))
    whole = replace(preprocess, crop=preprocess.frame, size=preprocess.frame)
    with open_images(path) as source:
        some = replace(source, entries=source.entries[:COMPARED])
        return np.stack([pixels for _, pixels, _ in decode_images(some, whole, workers=2)])


def _description(predictor: Predictor, options: ExportOptions) -> dict[str, object]:
    made_with = provenance()
    return {
        "version": VERSION,
        "input": "RGB images, uint8 [batch, 3, frame, frame]",
        "output": "answers, fp32 [batch, columns]",
        "frame": predictor.config.preprocess.frame,
        "columns": COLUMNS,
        "preprocess": asdict(predictor.config.preprocess),
        "recipe": predictor.config.recipe,
        "checkpoint": options.which,
        "views": options.views,
        "release": made_with["release"],
        "torch": made_with["torch"],
    }
