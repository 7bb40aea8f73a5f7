"""One self-contained report.html: plotly inside, no request to anywhere."""

from importlib.resources import files
from pathlib import Path
from string import Template

from plotly.offline import get_plotlyjs

from lit_transformer.compare.analysis_section import analysis_section
from lit_transformer.compare.comparison import Comparison
from lit_transformer.compare.figures import MIN_SMOOTHED
from lit_transformer.compare.findings import caveat, findings, verdict
from lit_transformer.compare.judging import Judged, judge
from lit_transformer.compare.page import figures_of, results_table, rows_section, run_details, text
from lit_transformer.compare.paired import OnRows, compare_on_rows
from lit_transformer.compare.report_figures import MAX_CURVES, report_figures
from lit_transformer.records.atomic import write_text


def write_report(
    comparison: Comparison, path: Path, judged: Judged | None = None, on_rows: OnRows | None = None
) -> None:
    """Write the report on `comparison` to `path`, whole or not at all; OSError where it cannot be written."""
    write_text(path, report_html(comparison, judged, on_rows))


def report_html(comparison: Comparison, judged: Judged | None = None, on_rows: OnRows | None = None) -> str:
    """The report as one HTML document; `judged` and `on_rows` save their computing where they are known."""
    judged, on_rows = judged or judge(comparison), on_rows or compare_on_rows(comparison)
    analysis = analysis_section(comparison.directory, comparison.runs)
    assets = files("lit_transformer.compare") / "assets"
    figures = {**report_figures(comparison, judged), "analysis": analysis.figures}
    page = Template((assets / "report.html").read_text(encoding="utf-8"))
    return page.substitute(
        title=text(comparison.title),
        verdict=text(verdict(comparison, judged)),
        notes="".join(f"<p class=note>{text(note)}</p>" for note in comparison.notes),
        findings="".join(f"<li>{text(said)}</li>" for said in findings(comparison, judged)),
        metric=text(comparison.metric),
        table=results_table(comparison, judged),
        caveat=text(caveat(comparison, judged)),
        curve_hint=text(_curve_hint(comparison)),
        analysis=analysis.html,
        on_rows=rows_section(on_rows),
        runs=run_details(comparison, comparison.directory),
        count=len(comparison.runs),
        style=(assets / "report.css").read_text(encoding="utf-8"),
        script=(assets / "report.js").read_text(encoding="utf-8"),
        plotly=get_plotlyjs(),
        data="".join(figures_of(section, found) for section, found in figures.items()),
    )


def _curve_hint(comparison: Comparison) -> str:
    some = f" The {MAX_CURVES} best runs are drawn." if len(comparison.runs) > MAX_CURVES else ""
    return f"Raw values are drawn faint; a curve with fewer than {MIN_SMOOTHED} points is drawn as it is.{some}"
