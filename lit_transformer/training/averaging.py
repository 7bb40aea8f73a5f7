"""Averages of the weights: an exponential one along the run, and the mean of its newest checkpoints at its end."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class Averaging:
    """Averages a network's weights after each step (Polyak and Juditsky 1992); `decay` None averages nothing.

    Lightning's own callback saves the unaveraged weights in a checkpoint of weights alone, which best.ckpt is.
    """

    def __init__(self, network: nn.Module, decay: float | None) -> None:
        self._network = network
        self._average: AveragedModel | None = None
        if decay is not None:
            self._average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay))
            self._average.requires_grad_(False)

    def to(self, device: torch.device) -> None:
        """Move the average to the network's device."""
        if self._average is not None:
            self._average.to(device)

    def update(self) -> None:
        """Take the newest weights in."""
        if self._average is not None:
            self._average.update_parameters(self._network)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside, the network holds the averaged weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        if self._average is None:
            return
        averaged, network = self._average.module, self._network
        for average, current in zip(averaged.parameters(), network.parameters(), strict=True):
            kept = average.detach().clone()
            average.data.copy_(current.data)
            current.data.copy_(kept)

    def state_dict(self) -> dict[str, Tensor]:
        """For a checkpoint; empty without averaging."""
        return {} if self._average is None else self._average.state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from a checkpoint's average; without one, from the network's weights."""
        if self._average is not None and state:
            self._average.load_state_dict(state)
        elif self._average is not None:
            self._average.module.load_state_dict(self._network.state_dict())


@contextmanager
def mean_in_place(task: nn.Module, earlier: Sequence[Mapping[str, Tensor]]) -> Iterator[None]:
    """Inside, the task holds the mean of its own weights and those of earlier checkpoints (Vaswani et al. 2017, 6.1).

    A mean is taken in float64, so that it does not depend on the order.
    """
    own = {name: parameter.detach().clone() for name, parameter in task.named_parameters()}
    try:
        with torch.no_grad():
            for name, parameter in task.named_parameters():
                total = own[name].to(torch.float64, copy=True)
                for weights in earlier:
                    total += weights[name].to(total.device)
                parameter.copy_(total / (1 + len(earlier)))
        yield
    finally:
        with torch.no_grad():
            for name, parameter in task.named_parameters():
                parameter.copy_(own[name])
