"""`make screenshots`: a picture of each page of the dashboard, over the runs of a folder, under docs/."""

import sys
from pathlib import Path

from PIL import Image

from lit_transformer.compare.dashboard.index import LiveIndex
from tests.browser import chromium
from tests.compare.dashboard.site import Seen, Site, look_at, serve

DOCS = Path(__file__).resolve().parents[1] / "docs"
SETTLED = 2_500
"""Milliseconds until figures have their place."""


def pages(root: Path) -> dict[str, tuple[str, str]]:
    """Name of a picture -> address and what must be drawn; runs that saved masks are compared, where there are two."""
    view = LiveIndex(root).view
    ids = dict(zip((row.run for row in view.rows), view.ids, strict=True))
    done = [name for row in view.rows if row.status == "complete" for name in (row.run,)]
    drawn = [name for name in done if (root / name / "samples").is_dir()]
    pair = (drawn if len(drawn) > 1 else done)[:2]
    return {
        "runs": ("/", "#runs-grid .ag-row"),
        "curves": ("/curves?metric=train/loss&smooth=0.8", "#curves-figure .scatterlayer .trace"),
        "sweep": ("/sweep", "#sweep-costs .main-svg"),
        "run": (f"/run?id={ids[pair[0]]}", "#run-figure .scatterlayer .trace"),
        "compare": (f"/compare?runs={'~'.join(ids[name] for name in pair)}", "#compare-figure .scatterlayer .trace"),
    }


def shoot(seen: Seen, name: str, path: str, shown: str) -> None:
    """One page as docs/dashboard-NAME.png, in 128 colours."""
    seen.open(path, shown)
    seen.page.wait_for_timeout(SETTLED)
    file = DOCS / f"dashboard-{name}.png"
    seen.page.screenshot(path=file)
    Image.open(file).convert("RGB").quantize(128).save(file, optimize=True)
    print(file)


def main() -> None:
    """The pictures of the folder that is named."""
    root = Path(sys.argv[1])
    opened, running = chromium(), serve(root)
    browser = next(opened)
    if browser is None:
        sys.exit("make screenshots needs Chromium (Debian: apt-get install chromium)")
    site: Site = next(running)
    seen = look_at(browser, site, width=1280, height=900)
    for name, (path, shown) in pages(root).items():
        shoot(seen, name, path, shown)
    seen.quiet()


if __name__ == "__main__":
    main()
