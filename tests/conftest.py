"""The device that kernels are tested on, and what every test relies on."""

import os

import pytest
import torch

# Without a GPU the kernels run in Triton's interpreter; it must be chosen before their first import.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"


@pytest.fixture(scope="session")
def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
