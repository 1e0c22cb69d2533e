"""The sentence that a report begins with."""

import pytest

from galaxy_triton.evaluate.page import verdict


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((0.1, 0.2, None), "50\xa0% below the mean answer."),
        ((0.1, 0.2, 0.0), "50\xa0% below the mean answer; 50\xa0% of the way from the mean answer to the noise floor."),
        (
            (0.05, 0.2, 0.04),
            "75\xa0% below the mean answer; 94\xa0% of the way from the mean answer to the noise floor.",
        ),
        ((0.3, 0.2, 0.0), "50\xa0% above the mean answer."),
        ((0.1, 0.2, 0.3), "50\xa0% below the mean answer."),
        ((0.1, 0.0, None), "The mean answer is right for every galaxy held out."),
    ],
)
def test_verdict(numbers: tuple[float, float, float | None], words: str) -> None:
    assert verdict(*numbers) == words
