"""What a page asks of eyes and fingers: contrast of every text as it is drawn, and every stop of the Tab key."""

import io
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Page

ENOUGH, ENOUGH_LARGE = 4.5, 3.0
"""WCAG 2's contrast of text, and of text from 24 px on (18.66 px where it is bold)."""
HIDDEN = """
*, ::placeholder { color: transparent !important; -webkit-text-fill-color: transparent !important;
  text-shadow: none !important; caret-color: transparent !important; }
svg text { visibility: hidden !important; }
"""
TEXTS = """() => {
  const found = [];
  const shown = node => node.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true });
  const clipped = (node, box) => {
    let [left, top, right, bottom] = [box.left, box.top, box.right, box.bottom];
    for (let above = node; above && above !== document.body; above = above.parentElement) {
      const how = getComputedStyle(above);
      if (above instanceof SVGElement && !(above instanceof SVGSVGElement)) continue;
      if (how.overflowX === "visible" && how.overflowY === "visible") continue;
      const edge = above.getBoundingClientRect();
      left = Math.max(left, edge.left); right = Math.min(right, edge.right);
      top = Math.max(top, edge.top); bottom = Math.min(bottom, edge.bottom);
    }
    return [Math.max(left, 0), top + scrollY, Math.min(right, innerWidth), bottom + scrollY];
  };
  const faded = node => {
    let share = 1;
    for (let above = node; above; above = above.parentElement) share *= Number(getComputedStyle(above).opacity);
    return share;
  };
  const add = (node, text, box, colour, how) => {
    const place = clipped(node, box);
    if (place[2] - place[0] < 2 || place[3] - place[1] < 2) return;
    found.push({ text: text.trim().slice(0, 60), place, colour, size: parseFloat(how.fontSize),
      bold: Number(how.fontWeight) >= 700, opacity: faded(node),
      where: node.closest("[id]")?.id + " " + node.tagName + "." + (node.getAttribute("class") || "") });
  };
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode, parent = node.parentElement;
    if (!node.data.trim() || !parent || parent.closest("script, style, noscript, option, [disabled]")) continue;
    if (!shown(parent)) continue;
    const how = getComputedStyle(parent), range = document.createRange();
    range.selectNodeContents(node);
    const box = parent instanceof SVGElement ? parent.getBoundingClientRect() : range.getBoundingClientRect();
    add(parent, node.data, box, parent instanceof SVGElement ? how.fill : how.color, how);
  }
  for (const input of document.querySelectorAll("input, select")) {
    if (input.disabled || !shown(input) || ["checkbox", "radio", "range", "hidden"].includes(input.type)) continue;
    const empty = input.value === "", how = getComputedStyle(input, empty ? "::placeholder" : null);
    const text = empty ? input.placeholder || "" : input.value;
    if (text) add(input, text, input.getBoundingClientRect(), how.color, getComputedStyle(input));
  }
  return found;
}"""
TABBABLE = """() => [...document.querySelectorAll(
    "a[href], button, input, select, textarea, summary, [tabindex], [contenteditable=true]")].filter(node =>
  node.tabIndex >= 0 && !node.disabled && node.type !== "hidden" &&
  node.checkVisibility({ checkVisibilityCSS: true }) && !node.closest("[inert]"))"""
TAB = """() => {
  const looks = node => [node, node.parentElement, node.nextElementSibling].filter(Boolean).flatMap(each =>
    ["", "::before", "::after"].map(part => { const how = getComputedStyle(each, part || null);
      return [how.outlineStyle, how.outlineWidth, how.outlineColor, how.boxShadow, how.borderTopStyle,
        how.borderTopColor, how.borderTopWidth, how.backgroundColor].join(" "); })).join("\\n");
  const tab = window.tab = { stops: [], last: null, look: "",
    // Whether the stop before looks otherwise now that the focus has gone.
    left() { return this.last === null || looks(this.last) !== this.look; },
    block(node) { return node.closest(".ag-root-wrapper")?.parentElement || node; },
    stop() {
      const seen = this.left(), node = document.activeElement;
      if (!node || node === document.body) { this.last = null; return { seen, place: -1 }; }
      const block = this.block(node), box = node.getBoundingClientRect();
      if (!this.stops.includes(block)) this.stops.push(block);
      this.last = node;
      this.look = looks(node);
      let share = 1;
      for (let above = node; above; above = above.parentElement) share *= Number(getComputedStyle(above).opacity) || 0;
      return { seen, place: this.stops.indexOf(block), html: node.outerHTML.slice(0, 200), grid: block !== node,
        left: box.left + scrollX, top: box.top + scrollY, right: box.right + scrollX, bottom: box.bottom + scrollY };
    },
    missed() {
      const all = [...document.querySelectorAll(
        "a[href], button, input, select, textarea, summary, [tabindex], [contenteditable=true]")].filter(node =>
          node.tabIndex >= 0 && !node.disabled && node.type !== "hidden" && !this.grouped(node)
          && node.checkVisibility({ checkVisibilityCSS: true })).map(node => this.block(node));
      return [...new Set(all)].filter(node => !this.stops.includes(node)).map(node => node.outerHTML.slice(0, 200));
    },
    // Of radio buttons of one name Tab stops at the one that is chosen; the arrows go on from there.
    grouped(node) { return node.type === "radio" && !node.checked; },
    disordered() {
      return this.stops.slice(1).filter((node, place) =>
        node.compareDocumentPosition(this.stops[place]) & Node.DOCUMENT_POSITION_FOLLOWING
      ).map(node => node.outerHTML.slice(0, 200));
    },
  };
  document.activeElement?.blur();
  scrollTo(0, 0);
}"""
DASH = {
    "aria-allowed-role": "dash-options-list-option",
    "nested-interactive": "dash-options-list-option",
}
"""Rules of axe-core, and what in Dash's own markup breaks them: an option that is a label around its own box."""


@dataclass(frozen=True)
class Text:
    """A text as it is drawn, and its contrast to what is drawn behind it."""

    text: str
    where: str
    contrast: float
    large: bool

    def __str__(self) -> str:
        return f"{self.contrast:.2f}: {self.text!r} in {self.where}"


def luminance(colour: "np.ndarray[Any, Any]") -> float:
    """WCAG's relative luminance of a colour of three channels from 0 to 255."""
    share = np.asarray(colour, dtype=float)[:3] / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return float(linear @ np.array([0.2126, 0.7152, 0.0722]))


def contrast(one: "np.ndarray[Any, Any]", other: "np.ndarray[Any, Any]") -> float:
    """WCAG's contrast of two colours, 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def texts_of(page: Page) -> list[Text]:
    """Every text that can be seen: its computed colour against the commonest pixel behind it, drawn without texts."""
    found: list[dict[str, Any]] = page.evaluate(TEXTS)
    shot = page.screenshot(full_page=True, style=HIDDEN, animations="disabled", scale="css")
    pixels = np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"))
    shown = []
    for item in found:
        left, top, right, bottom = (round(end) for end in item["place"])
        part = pixels[max(top, 0) : bottom, max(left, 0) : right].reshape(-1, 3)
        if not len(part):
            continue
        back = np.array(Counter(map(tuple, part.tolist())).most_common(1)[0][0])
        numbers = [float(number) for number in item["colour"].partition("(")[2].rstrip(")").replace(",", " ").split()]
        alpha = (numbers[3] if len(numbers) > 3 else 1.0) * item["opacity"]
        ink = alpha * np.array(numbers[:3]) + (1 - alpha) * back
        large = item["size"] >= 24 or (item["bold"] and item["size"] >= 18.66)
        shown.append(Text(item["text"], item["where"], contrast(ink, back), large))
    return shown


def faint(page: Page) -> list[str]:
    """The texts whose contrast is too low."""
    return [str(text) for text in texts_of(page) if text.contrast < (ENOUGH_LARGE if text.large else ENOUGH)]


def violations(page: Page) -> list[str]:
    """What axe-core finds wrong with the page, one line an element; what only Dash could mend is left out."""
    found = Axe().run(page).response["violations"]
    return [
        f"{rule['id']}: {node['html'][:200]} {node['failureSummary'][:200]}"
        for rule in found
        for node in rule["nodes"]
        if rule["id"] not in DASH or DASH[rule["id"]] not in node["html"].partition(">")[0]
    ]


@dataclass
class Stop:
    """Where the Tab key stops; a table of AG Grid, in which it goes from cell to cell, is one place."""

    place: int
    html: str
    grid: bool
    left: float
    top: float
    right: float
    bottom: float
    name: str
    """As the browser computes it for a screen reader."""
    seen: bool = False
    """Whether the focus can be seen: the element looks otherwise without it."""


def stops_of(page: Page, most: int = 500) -> list[Stop]:
    """Every stop of the Tab key from the top of the page to its end."""
    page.evaluate(TAB)
    talk = page.context.new_cdp_session(page)
    found: list[Stop] = []
    for _ in range(most):
        page.keyboard.press("Tab")
        told = page.evaluate("tab.stop()")
        seen = told.pop("seen")
        if found:
            found[-1].seen = seen
        if told["place"] < 0 or (told["place"] == 0 and len(found) > 1):
            talk.detach()
            return found
        node = talk.send("Runtime.evaluate", {"expression": "document.activeElement"})["result"]["objectId"]
        asked = {"objectId": node, "fetchRelatives": False}
        said = talk.send("Accessibility.getPartialAXTree", asked)["nodes"][0]
        found.append(Stop(**told, name=str(said.get("name", {}).get("value", ""))))
    raise AssertionError(f"Tab did not come to the end of the page in {most} stops; the last: {found[-1].html}")


def wrong_stops(page: Page, stops: list[Stop]) -> list[str]:
    """What is wrong with the stops of `stops_of`: no name, no visible focus, one left out, one out of its place.

    In its place a stop comes after all that stand before it in the document, and does not stand above the one before it
    but in a column to the right.
    """
    wrong = [f"no name: {stop.html}" for stop in stops if not stop.name.strip() and not stop.grid]
    wrong += [f"focus is not seen: {stop.html}" for stop in stops if not stop.seen]
    wrong += [f"Tab passes by: {html}" for html in page.evaluate("tab.missed()")]
    wrong += [f"out of the document's order: {html}" for html in page.evaluate("tab.disordered()")]
    for before, after in pairwise(stops):
        if not (before.grid or after.grid) and after.bottom <= before.top and after.left < before.left:
            wrong.append(f"above the stop before it: {after.html} after {before.html}")
    return wrong
