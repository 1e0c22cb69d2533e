"""How long a run will take, by its first steps."""

import time

from galaxy_triton.config.recipes import RECIPES
from galaxy_triton.config.schema import Config
from galaxy_triton.system.console import Display, duration

ENOUGH = 5.0  # seconds of steps that tell the speed
LONG = 3600.0  # seconds that are warned of
SMALLER = {"seed": "best", "best": "demo"}  # recipe -> one of far fewer operations, all its epochs together


class Forecast:
    """Says once, after a few steps, how long the others take, and warns of hours.

    Args:
        steps: of each of so many runs that follow each other. shorter: what would take less time.
    """

    def __init__(self, steps: int, runs: int, shorter: str, display: Display) -> None:
        self.steps, self.runs, self.shorter, self.display = steps, runs, shorter, display
        self.start: tuple[int, float] | None = None  # after the first step, which may compile
        self.said = False

    def look(self, made: int) -> None:
        """Look at the clock when the device has made so many steps of the first run."""
        now = time.perf_counter()
        if self.start is None:
            self.start = made, now
        elif not self.said and now - self.start[1] >= ENOUGH:
            self.said = True
            self._say((now - self.start[1]) / (made - self.start[0]) * (self.steps * self.runs - made))

    def _say(self, seconds: float) -> None:
        text = f"about {duration(seconds)} to go, by the first steps" + f" of {self.runs} runs" * (self.runs > 1)
        if seconds < LONG:
            self.display.field("time", text)
        else:
            self.display.warn(f"{text}{self.shorter and f'. Less time: {self.shorter}'}")


def smaller(config: Config) -> str:
    """The recipe of far fewer operations, and how to pack for it, or else options that make the network smaller."""
    recipe = RECIPES.get(SMALLER.get(config.recipe, ""), config)
    sides = recipe.preprocess
    if recipe is config or sides.frame != config.preprocess.frame:
        return "a smaller --width, or --model galaxy-vgg"
    return f"--recipe {recipe.recipe} on a store of `pack --crop {sides.crop} --size {sides.size}`"
