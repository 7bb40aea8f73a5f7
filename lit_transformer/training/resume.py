"""Where a run goes on: the newest good checkpoint, and whether going on from it is exact. Torch-free."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from lit_transformer.config.budget import BUDGETS
from lit_transformer.config.errors import UserError
from lit_transformer.config.layers import Layer, mapping_layer
from lit_transformer.config.load import from_plain
from lit_transformer.config.yaml_lines import read_yaml
from lit_transformer.processes.trial import DRIFT_VARIABLE
from lit_transformer.records.checkpoints import MANIFEST, CheckpointFolder, Found
from lit_transformer.records.finding import CHECKPOINT, files
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.training.identity import Change, changes


def tell(text: str) -> None:
    """One line for the person who waits."""
    print(text, file=sys.stderr, flush=True)


def frozen_layer(run: RunFolder) -> Layer:
    """The settings that stand in a run's config.yaml, with their origins.

    Raises UserError where it is damaged: without it, the defaults would be trained.
    """
    values, origins = run.read_config(), run.read_origins()
    if not values:
        read_yaml(run.config_file)  # names the line that is no YAML
    layer = mapping_layer(values, str(run.config_file))
    gone = [key for key in origins if key not in layer.values]
    if not values or gone:
        raise UserError(
            f"{run.config_file} is damaged\n"
            f"  got      {'a file without ' + ', '.join(gone[:4]) if values else 'a file without settings'}\n"
            "  allowed  every setting of the run, as they were frozen\n"
            "  fix      restore it from a copy"
        )
    from_plain(values, str(run.config_file))  # what was edited there is said to stand there, whatever its origin was
    return Layer(layer.values, origins or layer.origins)


def refuse_budgets(layers: Sequence[Layer]) -> None:
    """Raise UserError for another budget than the run's: its widths and its length were solved when it began."""
    for key in BUDGETS:
        for layer in layers:
            if key in layer.values:
                raise UserError(
                    f"{key}\n"
                    f"  at       {layer.origins.get(key, 'unknown')}\n"
                    f"  got      {layer.values[key]} for a run that has begun\n"
                    "  allowed  the budget that it began with: what was solved for it stays\n"
                    "  fix      leave it out, or train in a folder of its own: fit without --resume"
                )


def continue_from(
    run: RunFolder,
    now: dict[str, object],
    *,
    allow_drift: bool,
    report: Callable[[str], None] = tell,
    folder: CheckpointFolder | None = None,
) -> Found | None:
    """The checkpoint that the run goes on from, its logs cut to where that was saved; None where it starts at step 0.

    Says in one line where the run goes on and whether the result stays exact. The run's lock must be held. Raises
    UserError where the checkpoint is of another network, where something changed and drift is not allowed, and where
    there are checkpoints and none is good. `folder` is the one that the run will save to.
    """
    folder = folder or CheckpointFolder(run.checkpoints)
    passed_over: list[str] = []
    found = folder.newest(passed_over.append)
    if found is None:
        _refuse_to_overwrite(run, folder, passed_over)
    for line in passed_over:
        report(line)
    if found is None:
        run.rewind(0, 0)
        return None
    facts = found.entry.facts
    before = facts.get("identity")
    different = changes(before if isinstance(before, dict) else {}, now)
    _refuse_another_network(found.path, different)
    metrics, system = (_size(facts.get(name)) for name in ("metrics_bytes", "system_bytes"))
    lost = metrics - run.size_of(run.metrics_file)
    if lost > 0:
        different.append(Change("metrics.jsonl", f"{metrics} bytes", f"{metrics - lost} bytes"))
    if different and not allow_drift:
        raise UserError(
            f"{run.path} cannot go on exactly from {found.path.name} (step {found.entry.step}): since it was saved, "
            "these changed (then -> now)\n"
            + "\n".join(f"  {change}" for change in different)
            + "\n  fix      restore them, or go on all the same with --allow-drift"
        )
    inexact = f"not exact, by --allow-drift: {'; '.join(map(str, different))}"
    exact = "exact: the same settings, data, versions, threads and ranks"
    report(f"going on from {found.path.name}, step {found.entry.step}; {inexact if different else exact}")
    run.rewind(metrics, system)
    return found


def drift_allowed() -> bool:
    """Whether this process's environment allows a result that is not bit for bit the same."""
    return os.environ.get(DRIFT_VARIABLE) == "1"


def _refuse_another_network(path: Path, different: list[Change]) -> None:
    misfits = [change for change in different if not change.fits]
    if not misfits:
        return
    width = max(len(change.what) for change in misfits)
    lines = [f"  {change.what:<{width}}  {change.before!s:>12}  {change.now!s:>12}" for change in misfits]
    raise UserError(
        f"{path} is a checkpoint of another network than the run's config.yaml describes\n"
        f"  {'':<{width}}  {'checkpoint':>12}  {'config.yaml':>12}\n"
        + "\n".join(lines)
        + "\n  fix      restore these settings, or train the new ones in a folder of their own: fit without --resume"
    )


def _refuse_to_overwrite(run: RunFolder, folder: CheckpointFolder, passed_over: list[str]) -> None:
    """Raise UserError where training would be lost that may yet be recovered, or that is whole.

    One file without a manifest is what a kill within the very first save leaves, and no loss.
    """
    listed = folder.entries()
    damaged = not listed and (folder.path / MANIFEST).exists()
    if damaged or any(entry.resumable for entry in listed) or len(files(folder.path, CHECKPOINT)) > 1:
        raise UserError(
            f"{folder.path} holds checkpoints, and none of them is good\n"
            + "\n".join(f"  got      {line}" for line in passed_over)
            + "\n  fix      restore them from a copy, or take the folder away to start at step 0"
        )
    if run.status() == "complete":
        raise UserError(
            f"{run.path} is complete, and holds no checkpoint to go on from\n"
            f"  got      {', '.join(entry.name for entry in listed) or 'none'}: trainer.keep says what stays\n"
            "  fix      train a longer run in a folder of its own: fit without --resume"
        )


def _size(value: object) -> int:
    return value if isinstance(value, int) else 0
