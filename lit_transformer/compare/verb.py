"""What `lit-transformer compare DIR` does."""

import sys
from pathlib import Path

from lit_transformer.compare.comparison import read_comparison
from lit_transformer.compare.findings import findings
from lit_transformer.compare.judging import judge
from lit_transformer.compare.paired import compare_on_rows, lines_of
from lit_transformer.compare.plain import printable
from lit_transformer.compare.report import write_report
from lit_transformer.compare.table import console, csv_text, json_document, terminal_table
from lit_transformer.config.errors import UserError
from lit_transformer.records.atomic import write_text
from lit_transformer.records.sweep_folder import SweepFolder


def compare(directory: Path, *, html: Path | None = None, csv: bool = False, json: bool = False) -> None:
    """Print the comparison of the runs at or under `directory`, and write the report to `html`.

    `html` is `directory`/report.html where it is None; a sweep's own folder gets results.csv too. Standard output has
    the table alone, or CSV (one row a run), or one JSON document; standard error says what was written.
    Raises UserError where there is nothing to compare, both formats are asked for, or a file cannot be written.
    """
    if csv and json:
        raise UserError("--csv and --json were both given; standard output carries one of them: leave one out")
    comparison = read_comparison(directory)
    judged, on_rows = judge(comparison), compare_on_rows(comparison)
    for note in comparison.notes:
        print(f"warning: {note}", file=sys.stderr)
    _print(csv_text(comparison.runs), end="") if csv else None
    _print(json_document(comparison, judged, on_rows)) if json else None
    if not csv and not json:
        console().print(terminal_table(comparison, judged))
        for said in [*findings(comparison, judged), *lines_of(on_rows)]:
            print(printable(said))
    target = html if html is not None else comparison.directory / "report.html"
    written = [target]
    try:
        write_report(comparison, target, judged, on_rows)
        if comparison.is_sweep:
            results = SweepFolder(comparison.directory).results_file
            write_text(results, csv_text(comparison.runs))
            written.append(results)
    except OSError as error:
        raise UserError(
            f"{target}: cannot be written ({error.strerror or error}); name another file with --html"
        ) from error
    for path in written:
        print(f"wrote {path}", file=sys.stderr)


def _print(text: str, end: str = "\n") -> None:
    sys.stdout.write(text + end)
    sys.stdout.flush()
