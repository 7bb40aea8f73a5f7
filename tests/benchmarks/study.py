"""`make study`: do heads or layers matter at equal parameters? Runs the sweep, and writes its verdict into README.

What is there already is not run again: after a kill the same command goes on. `--write DIR` only writes the verdict on
a sweep's folder.
"""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from figures import machine

from lit_transformer.compare.comparison import Comparison, read_comparison, values_of
from lit_transformer.compare.findings import findings, verdict
from lit_transformer.compare.importance import anova
from lit_transformer.compare.judging import Judged, judge
from lit_transformer.compare.plain import label
from lit_transformer.compare.report import write_report
from lit_transformer.compare.statistics import rows_of
from lit_transformer.compare.style import mean_text, short

ROOT = Path(__file__).resolve().parents[2]
SWEEP = Path("sweeps/study_heads_layers.yaml")
FOLDER = Path("runs/sweeps/study_heads_layers")
PICTURE = Path("docs/study.png")
BEGIN, END = "<!-- study: written by `make study` -->\n", "<!-- /study -->\n"
HEADS, LAYERS = "model.num_heads", "model.num_layers"
MARKS = {"best": "**", "not told apart": "*", "worse": "", "": ""}


def main() -> int:
    """The command's exit status."""
    if sys.argv[1:2] == ["--write"]:
        folder = Path(sys.argv[2])
    else:
        folder = FOLDER
        cli = [sys.executable, "-m", "lit_transformer.cli"]
        done = subprocess.run([*cli, "sweep", "run", str(SWEEP)], check=False)
        if done.returncode != 0:
            return done.returncode
    comparison = read_comparison(folder)
    judged = judge(comparison)
    write_report(comparison, folder / "report.html", judged)
    pictured = take_picture(folder / "report.html", ROOT / PICTURE)
    readme = ROOT / "README.md"
    readme.write_text(with_verdict(readme.read_text(encoding="utf-8"), text_of(comparison, judged, pictured)), "utf-8")
    print(text_of(comparison, judged, pictured))
    return 0


def with_verdict(page: str, text: str) -> str:
    """README with `text` between the study's marks; ValueError where they are missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md lacks the lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}{text}{END}{after}"


def text_of(comparison: Comparison, judged: Judged, pictured: bool) -> str:
    """The verdict as Markdown: what was found, cell by cell, and what was known."""
    said = [verdict(comparison, judged), *findings(comparison, judged), *_shares(comparison), known(judged)]
    minutes = float(comparison.runs["seconds"].sum()) / 60
    said.append(f"{len(comparison.runs)} runs, {minutes:.0f} minutes of one core each in all, on {machine()}.")
    picture = (
        [f"![The study's map: {comparison.metric} over heads and layers]({PICTURE.as_posix()})", ""] if pictured else []
    )
    return "\n".join([*(f"- {sentence}" for sentence in said), "", *_table(comparison, judged), "", *picture]) + "\n"


def _shares(comparison: Comparison) -> list[str]:
    """How much of the variance each setting and their interaction explain."""
    effects = anova(comparison.runs, comparison.factors, comparison.metric)
    named = [f"{' x '.join(map(short, effect.factors))} {100 * effect.share:.0f} %" for effect in effects]
    return [f"Share of the variance of {comparison.metric}: {', '.join(named)}."] if named else []


def known(judged: Judged) -> str:
    """What was found of heads beside Vaswani et al. (2017), Table 3 A: one head loses, 4 to 32 are near the noise."""
    if HEADS not in judged.levels:
        return "Heads could not be compared."
    standing: Mapping[object, str] = {row["value"]: row["standing"] for row in rows_of(judged.levels[HEADS])}
    one = "one head loses here too" if standing.get(1) == "worse" else "one head is not found to lose here"
    apart = [str(heads) for heads, found in standing.items() if heads in (4, 8) and found == "worse"]
    rest = (
        f"{' and '.join(apart)} heads are worse than the best"
        if apart
        else "4 and 8 heads cannot be told from the best"
    )
    return f"Known (Vaswani et al. 2017, Table 3 A): one head loses, 4 to 32 are near the noise. Found: {one}; {rest}."


def _table(comparison: Comparison, judged: Judged) -> list[str]:
    """Mean and deviation of each cell; the best is bold, what cannot be told from it is in italics."""
    layers = values_of(judged.cells, LAYERS)
    rows = {(label(row[HEADS]), label(row[LAYERS])): row for row in rows_of(judged.cells)}
    lines = [f"| {comparison.metric} | " + " | ".join(_counted(value, "layer") for value in layers) + " |"]
    lines.append("| --- |" + " --- |" * len(layers))
    for heads in values_of(judged.cells, HEADS):
        shown = []
        for value in layers:
            row = rows[label(heads), label(value)]
            mark = MARKS[row["standing"]]
            shown.append(f"{mark}{mean_text(comparison.metric, float(row['mean']), float(row['sd']))}{mark}")
        lines.append(f"| {_counted(heads, 'head')} | " + " | ".join(shown) + " |")
    return [*lines, "", "Bold is the best cell; cells in italics cannot be told from it."]


def _counted(value: object, thing: str) -> str:
    """`1 head`, `2 heads`."""
    return f"{label(value)} {thing}{'' if value == 1 else 's'}"


def take_picture(report: Path, file: Path) -> bool:
    """The report's overview as a picture; False where there is no Chromium, which is said."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("no Chromium here: the picture is left out (Debian: apt-get install chromium)", file=sys.stderr)
        return False
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"])
        page = browser.new_page(viewport={"width": 1200, "height": 900}, color_scheme="light")
        page.goto(report.resolve().as_uri())
        page.wait_for_function("document.querySelectorAll('#scatter-1 .plot-container').length === 1")
        page.locator(".overview").screenshot(path=str(file))
        browser.close()
    return True


if __name__ == "__main__":
    sys.exit(main())
