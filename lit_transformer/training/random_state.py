"""The states of all random generators of one rank, as tensors and plain values that a checkpoint can hold."""

import random
from typing import Any

import numpy as np
import torch

State = dict[str, Any]


def seed_all(seed: int) -> None:
    """Start all generators of this process; torch's decide the weights and dropout, nothing of ours asks the others."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


def random_state() -> State:
    """States of torch's generators (CPU and this rank's GPU), Python's and numpy's."""
    version, words, gauss = random.getstate()
    numpy = np.random.get_state(legacy=False)
    assert isinstance(numpy, dict)
    keys = torch.from_numpy(numpy["state"]["key"].astype(np.int64))
    state: State = {
        "torch": torch.get_rng_state(),
        "python": (version, list(words), gauss),
        "numpy": {**numpy, "state": {**numpy["state"], "key": keys}},
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: State) -> None:
    """Put all generators where they were; a GPU's state is passed over on a machine without one."""
    torch.set_rng_state(state["torch"])
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    numpy = state["numpy"]
    keys = numpy["state"]["key"].numpy().astype(np.uint32)
    np.random.set_state({**numpy, "state": {**numpy["state"], "key": keys}})
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
