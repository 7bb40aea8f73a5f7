"""What to do when a loss or a gradient is no number any more."""

import math
import sys
from collections.abc import Callable, Iterable
from typing import Literal

import torch
from torch import Tensor

from lit_transformer.training.stopping import Agreement

IN_A_ROW = 20
"""Steps left out, or rollbacks without a new checkpoint in between, after which the run counts as diverged."""
ADVICE = "a smaller optimizer.lr or trainer.gradient_clip may help"


class Diverged(Exception):
    """The loss is no longer a number."""


def check_finite(value: float, name: str, step: int) -> None:
    """Raise Diverged unless `value` is a finite number."""
    if not math.isfinite(value):
        raise Diverged(f"{name} is {value} at step {step}; {ADVICE}")


class Guard:
    """Sees each step's gradient norm and loss before the optimizer does; all ranks decide alike.

    `stop` takes the step and remembers it, so that no device is waited for: who asks `seen` then ends the run. `skip`
    leaves the step out; `rollback` does, and calls `go_back`, which restores the newest checkpoint's weights and
    optimizer. Under a loss scaler (`scaled`) gradients overflow in the normal course, and the scaler leaves such a step
    out by itself: only the loss is looked at.
    """

    def __init__(
        self,
        policy: Literal["stop", "skip", "rollback"],
        agreement: Agreement,
        *,
        go_back: Callable[[], int],
    ) -> None:
        self._policy, self._agreement, self._go_back = policy, agreement, go_back
        self._first: Tensor | None = None  # the first bad step under `stop`, 0 for none
        self.scaled = False
        """Whether there is a loss scaler; set by the training."""
        self.step = 0
        """The step in hand, set by the training."""
        self.left_out = 0
        """Steps that were left out so far."""
        self._in_a_row = 0
        self._taken = False  # a step since the last one that was left out

    def __call__(self, norm: Tensor, loss: Tensor) -> bool:
        """Whether to take the step."""
        bad = ~torch.isfinite(loss)
        if not self.scaled:
            bad = bad | ~torch.isfinite(norm)
        if self._policy == "stop":
            now = torch.where(bad, self.step, 0)
            self._first = now if self._first is None else torch.where(self._first > 0, self._first, now)
            return True
        if not self._agreement.largest(int(bad))[0]:
            self._taken = True
            self._in_a_row = self._in_a_row if self._policy == "rollback" else 0
            return True
        self._taken = False
        self.left_out += 1
        self._in_a_row += 1
        if self._in_a_row > IN_A_ROW:
            raise Diverged(f"loss or gradient was no number {self._in_a_row} times in a row; {ADVICE}")
        self._say(f"step {self.step}: loss or gradient is no number; {self._act()}")
        return False

    def _act(self) -> str:
        if self._policy == "skip":
            return "the step is left out"
        return f"back to the weights of step {self._go_back()}, and on with the next batch"

    def saved(self) -> None:
        """A checkpoint was written: a new place to go back to, unless no step was taken since the last return."""
        if self._taken:
            self._in_a_row = 0

    def seen(self) -> int:
        """The first step taken under `stop` that was bad, 0 for none; waits for the device."""
        return 0 if self._first is None else int(self._first)

    def state_dict(self) -> dict[str, int]:
        """For a checkpoint."""
        return {"left_out": self.left_out, "in_a_row": self._in_a_row}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on counting."""
        self.left_out, self._in_a_row = state["left_out"], state["in_a_row"]

    def _say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether every element is finite."""
    checks = [torch.isfinite(tensor).all() for tensor in tensors if tensor.is_floating_point()]
    return not checks or bool(torch.stack(checks).all())
