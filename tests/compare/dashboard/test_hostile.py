"""Sixty strings that would be markup or script, as run names, keys, values, samples and file names, on every page."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lit_transformer.compare.dashboard.live_run import run_id
from lit_transformer.records.run_folder import RunFolder
from tests.compare.dashboard.site import Seen

XSS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    '"><svg onload=alert(1)>',
    "<a href='javascript:alert(1)'>x</a>",
    "<b>x</b><br>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "javascript:alert(1)",
    "%{x}%{customdata}",
    "${alert(1)}",
    "$title",
    "<!--",
    "]]>",
    "\u2028alert(1)\u2029",
    "\x01\x1b[31m",
    "<iframe src=javascript:alert(1)>",
    "<body onload=alert(1)>",
    "<input autofocus onfocus=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<video><source onerror=alert(1)></video>",
    "<math><mi xlink:href=javascript:alert(1)>",
    "<object data=javascript:alert(1)>",
    "<embed src=javascript:alert(1)>",
    "<base href=//evil.example/>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<style>*{background:url(//evil.example)}</style>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<form action=//evil.example><input type=submit>",
    "<marquee onstart=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<svg><animate onbegin=alert(1) attributeName=x>",
    "<img src=//evil.example/x.png>",
    "<audio src=x onerror=alert(1)>",
    "<button onclick=alert(1)>x</button>",
    "<select onfocus=alert(1) autofocus>",
    "<textarea onfocus=alert(1) autofocus>",
    "<table background=javascript:alert(1)>",
    "<div style=width:expression(alert(1))>",
    "<isindex action=javascript:alert(1)>",
    "<x onclick=alert(1) tabindex=1 id=x>",
    "';alert(1);//",
    '";alert(1);//',
    "`;alert(1);//",
    "\\';alert(1);//",
    "{{constructor.constructor('alert(1)')()}}",
    "{{7*7}}",
    "#{7*7}",
    "<%= 7*7 %>",
    "__proto__",
    "constructor",
    "toString",
    "data:text/html,<script>alert(1)</script>",
    "[x](javascript:alert(1))",
    "![x](//evil.example/x.png)",
    "=cmd|'/C calc'!A0",
    "<sub>x</sub><sup>y</sup><i>z</i>",
    "<span style='color:red'>x</span>",
    "\u202egnp.exe",
    "\u200b\ufeff\u0000x",
    "d3.format('x')",
    "function(){alert(1)}",
    "params.api",
)
FOUND = """() => {
  const all = selector => [...document.querySelectorAll(selector)];
  const address = node => node.src || node.getAttribute('xlink:href') || node.getAttribute('href') || '';
  return {
    bad: all('iframe, object, embed, video, audio, marquee, math, base, meta[http-equiv=refresh], details, form, ' +
             'isindex, x, .js-plotly-plot a, td b, td i, .ag-cell b, .ag-cell i').map(node => node.outerHTML),
    scripts: all('script:not([src])').map(node => node.id || node.textContent.slice(0, 80)),
    images: all('img, image').map(address).filter(src => !src.startsWith('data:')),
    handlers: all('*').filter(node => [...node.attributes].some(a => a.name.startsWith('on'))).length,
    links: all('a').map(address).filter(href => href && !href.startsWith(location.origin) && !/^[#/]/.test(href)),
  };
}"""


def hostile_runs(root: Path, run_writer: Callable[..., RunFolder], plan_writer: Callable[..., None]) -> Path:
    """A sweep whose names, keys, values, metrics, errors, logs, sample files and texts are those strings."""
    cells: list[dict[str, object]] = []
    key = f"model.{XSS[1]}"
    for place, text in enumerate(XSS):
        name = text.replace("/", "_").replace("\x00", "0")[:200] + str(place)
        status = "failed" if place % 3 == 0 else "complete"
        run = run_writer(
            root / XSS[5].replace("/", "_") / "cells" / name, status=status, error=text, steps=200, **{text: text}
        )
        result = json.loads(run.result_file.read_text())
        result["metrics"] = {"val/loss": 2.0 + place, f"val/{text}": 1.0}
        run.result_file.write_text(json.dumps(result))
        rows = [{"step": step, "val/loss": 3.0 - step / 500, f"val/{text}": step, text: step} for step in range(1, 40)]
        run.metrics_file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        run.log_file.write_text(text)
        samples = run.path / "samples"
        samples.mkdir()
        row = json.dumps({text: text, "prediction": text})
        (samples / (text.replace("/", "_").replace("\x00", "0")[:200] + ".jsonl")).write_text(row)
        np.savez(
            samples / "attention-1.npz",
            **{f"{text.replace(chr(0), '0')[:60]}.attention": np.ones((1, 2, 2), np.float32)},
        )  # type: ignore[arg-type]
        cells.append({"cell": name, "values": {key: text, "other": place % 3}, "problem": None})
    cells.append({"cell": "last", "values": {key: "z", "other": 1}, "problem": XSS[0]})
    plan_writer(root / XSS[5].replace("/", "_"), {key: [], "other": []}, cells, name=XSS[1])
    return root


def test_hostile_text_is_shown_and_never_becomes_markup(
    tmp_path: Path, run_writer: Callable[..., RunFolder], plan_writer: Callable[..., None], look: Callable[..., Seen]
) -> None:
    assert len(set(XSS)) >= 60
    root = hostile_runs(tmp_path / XSS[28], run_writer, plan_writer)
    names = sorted(os.listdir(root / XSS[5].replace("/", "_") / "cells"))
    seen = look(root, height=3000)
    key = f"model.{XSS[1]}"
    ids = [run_id(f"{XSS[5].replace('/', '_')}/cells/{name}") for name in names]

    def check() -> None:
        page = seen.page
        found = page.evaluate(FOUND)
        assert found == {
            "bad": [],
            "scripts": ["_dash-config", "_dash-renderer"],
            "images": [],
            "handlers": 0,
            "links": [],
        }, found
        seen.quiet()

    from urllib.parse import quote

    seen.open(
        f"/?cols={quote('~'.join([key, 'other', 'val/loss', 'error', *(f'val/{text}' for text in XSS[:20])]))}",
        "#runs-grid .ag-row",
    )
    shown = " ".join(seen.column("runs-grid", "run")) + " ".join(seen.column("runs-grid", "c0"))
    assert XSS[0] in shown and XSS[4] in shown and "__proto__" in shown
    assert XSS[0] in seen.page.locator("#runs-grid .ag-header").inner_text()
    seen.page.locator("#runs-grid .ag-cell").nth(3).hover()
    check()
    seen.open(f"/?group={quote(key)}&cols=val/loss", "#runs-grid .ag-row")
    check()
    seen.open("/curves?metric=val/loss", "#curves-figure .scatterlayer .trace")
    assert {str(trace["name"]) for trace in seen.traces("curves-figure")} >= {"&lt;"} or len(
        seen.traces("curves-figure")
    ) >= 60
    seen.page.mouse.move(500, 500)
    check()
    seen.open(f"/curves?metric={quote(XSS[1])}&group={quote(key)}", "#curves-figure .main-svg")
    seen.page.mouse.move(500, 500)
    check()
    seen.open("/sweep", "#sweep-map .heatmaplayer")
    seen.until("() => document.querySelectorAll('#sweep-cells .ag-row').length > 5")
    assert seen.page.locator("h1").inner_text() == XSS[1]
    check()
    for id in [*ids[:4], run_id(f"{XSS[5].replace('/', '_')}/cells/__proto__48")]:
        seen.open(f"/run?id={id}", "#run-figure .main-svg")
        seen.until("() => document.querySelectorAll('#run-samples td').length > 0")
        check()
    for first in range(0, len(ids), 16):
        seen.open(f"/compare?runs={'~'.join(ids[first : first + 16])}", "#compare-config .ag-row")
        seen.until("() => document.querySelectorAll('#compare-samples h3').length > 0")
        check()
