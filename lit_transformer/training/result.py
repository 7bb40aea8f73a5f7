"""A run's end, as result.json."""

from dataclasses import dataclass, field

from lit_transformer.records.atomic import write_json
from lit_transformer.records.run_folder import RESULT_VERSION, RunFolder, Status
from lit_transformer.training.identity import versions


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a run came to."""

    status: Status
    metrics: dict[str, float] = field(default_factory=dict)
    """Those of best.ckpt: of the best validation, or of the mean that the run ended with."""
    best_step: int = 0
    last_metrics: dict[str, float] = field(default_factory=dict)
    """Those at the last step."""
    parameters: int = 0
    flops_per_token: int = 0
    """Of one training step, forward and backward."""
    flops: int = 0
    tokens: int = 0
    steps: int = 0
    steps_left_out: int = 0
    """Of them without an update, because loss or gradient was no number."""
    seconds: float = 0.0
    """From the first step to the last validation."""
    tokens_per_second: float = 0.0
    peak_memory_bytes: int = 0
    error: str | None = None
    """Why it failed, diverged or was pruned."""
    stop: dict[str, object] | None = None
    """Of a pruned run: the rule, its band, the value, the threshold, the rank."""


def write_result(run: RunFolder, result: Result) -> None:
    """Write result.json, by rename: from here the run has ended, and checkpoints that it needs no more may go."""
    write_json(run.result_file, {"version": RESULT_VERSION, **vars(result), "versions": versions()})
