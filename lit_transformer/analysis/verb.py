"""What `lit-transformer analyze RUN|SWEEP` does."""

import json
import sys
from pathlib import Path

from lit_transformer.analysis.heads import analyze_heads
from lit_transformer.analysis.sweep import analyze_sweep
from lit_transformer.analysis.tables import few_heads_table, heads_table, pruning_lines, scaling_lines
from lit_transformer.compare.table import console
from lit_transformer.records.atomic import finite
from lit_transformer.records.sweep_folder import SweepFolder


def analyze(path: Path, *, batches: int, device: str, as_json: bool) -> None:
    """Print what the heads of a run do, or what a sweep says about heads and size, and write it into its folder.

    Standard output has tables, or one JSON document; standard error says what was written. Raises UserError.
    """
    sweep = SweepFolder(path)
    if sweep.exists() or sweep.plan_file.is_file():
        _analyze_sweep(path, batches, device, as_json)
        return
    found = analyze_heads(path, batches=batches, device=device)
    document = found.to_json()
    file = found.write(document)
    if as_json:
        _print_json(document)
    else:
        console().print(heads_table(found))
        print("\n".join(pruning_lines(found)))
    print(f"wrote {file}", file=sys.stderr)


def _analyze_sweep(path: Path, batches: int, device: str, as_json: bool) -> None:
    found = analyze_sweep(path, batches=batches, device=device)
    document = found.to_json()
    file = found.write(document)
    if as_json:
        _print_json(document)
    else:
        if found.matches is not None:
            console().print(few_heads_table(found.matches))
        if found.scaling is not None:
            print("\n".join(scaling_lines(found.scaling)))
        for reason in (found.few_heads_reason, found.scaling_reason):
            print(reason, file=sys.stderr) if reason else None
    print(f"wrote {file}", file=sys.stderr)


def _print_json(document: dict[str, object]) -> None:
    print(json.dumps(finite(document), indent=2, ensure_ascii=False))
