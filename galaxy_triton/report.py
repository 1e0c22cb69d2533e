"""Pictures of a run, from what its folder holds."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from galaxy_triton import files, run_folder

CURVES = "curves.png"


def draw_curves(folder: Path) -> Path:
    """Write curves.png: the RMSE of training and of the galaxies held out, epoch by epoch; its path is returned.

    Raises:
        DataFault: the folder cannot be written.
    """
    metrics = pd.read_csv(folder / run_folder.METRICS)
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="epoch", ylabel="RMSE")
    axes.plot(metrics["epoch"], metrics["train_loss"].pow(0.5), label="training (augmented views)", color="0.6")
    axes.plot(metrics["epoch"], metrics["validation_rmse"], label="held out", color="tab:blue")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    target = folder / CURVES
    with files.whole_file(target) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
    return target
