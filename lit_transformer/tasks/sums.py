"""Running sums that are divided once, after all batches and ranks are in."""

import torch
from torch import Tensor


class Sums:
    """Named sums, kept on the device without waiting for it, reduced over ranks when read."""

    def __init__(self) -> None:
        self._totals: dict[str, Tensor] = {}

    def add(self, values: dict[str, Tensor]) -> None:
        """Add a batch's sums, scalars or vectors."""
        for name, value in values.items():
            # float64: a float32 sum of losses loses digits after some million tokens (mps has no float64)
            wide = value.detach().to(torch.float32 if value.device.type == "mps" else torch.float64)
            total = self._totals.get(name)
            self._totals[name] = wide.clone() if total is None else total.add_(wide)

    def merge(self, other: "Sums") -> None:
        """Add what another holds, and empty it."""
        self.add(other._totals)
        other.clear()

    def clear(self) -> None:
        """Start again."""
        self._totals = {}

    def __getitem__(self, name: str) -> Tensor:
        """One of this rank's sums, a float64 scalar."""
        return self._totals[name]

    def state_dict(self) -> dict[str, Tensor]:
        """This rank's sums, for a checkpoint."""
        return {name: total.cpu() for name, total in self._totals.items()}

    def load_state_dict(self, state: dict[str, Tensor], device: torch.device) -> None:
        """Go on from sums that `state_dict` gave."""
        self._totals = {name: total.to(device) for name, total in state.items()}

    def take(self) -> dict[str, float]:
        """The sums over all ranks, and start again; every rank must call this at the same point.

        A vector `name` is given as name/0, name/1 and so on.
        """
        totals, self._totals = self._totals, {}
        if not totals:
            return {}
        names = [part for name, total in totals.items() for part in _parts(name, total)]
        stacked = torch.cat([total.reshape(-1) for total in totals.values()])  # (names,)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(stacked)
        return dict(zip(names, stacked.tolist(), strict=True))


def _parts(name: str, total: Tensor) -> list[str]:
    return [name] if total.ndim == 0 else [f"{name}/{index}" for index in range(len(total))]
