"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const element = (id) => document.getElementById(id);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const MEAN = -1;
  const LEVELS = 256;
  const MANY = 48; // tokens from which on the map gets the whole width, and only one token's lines are drawn
  const shown = { side: 0, layer: 0, head: MEAN, query: 0, key: 0 };
  let colours = new Uint8ClampedArray();

  const side = () => data.sides[shown.side];
  const layer = () => side().layers[shown.layer];
  const longest = () => Math.max(side().queries.length, side().keys.length);
  const isLong = () => longest() > MANY;
  const thousandths = (head, query, key) => layer()[head][query][key] ?? 0; // a row ends with its last weight above 0

  function weight(head, query, key) {
    if (head !== MEAN) return thousandths(head, query, key) / 1000;
    return layer().reduce((sum, _, each) => sum + thousandths(each, query, key), 0) / layer().length / 1000;
  }

  // Spaces at the ends and characters that show nothing, or that turn the line around, are spelled out.
  function spelled(token) {
    const visible = token
      .replace(/\n/g, "⏎").replace(/\t/g, "⇥").replace(/^ +| +$/g, (spaces) => "·".repeat(spaces.length));
    return visible.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (c) => `‹${c.codePointAt(0).toString(16)}›`) || "∅";
  }

  const headName = (head) => (head === MEAN ? "Mean of heads" : `Head ${head}`);

  function make(tag, text = "", properties = {}) {
    const made = Object.assign(document.createElement(tag), properties);
    made.textContent = text;
    return made;
  }

  // Colours: the square root keeps small weights apart; one scale for all maps.
  function readColours() {
    const style = getComputedStyle(document.documentElement);
    const stops = ["--w0", "--w1", "--w2", "--w3"].map((name) => {
      const hex = style.getPropertyValue(name).trim();
      return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
    });
    colours = new Uint8ClampedArray(LEVELS * 3);
    for (let level = 0; level < LEVELS; level += 1) {
      const place = (level / (LEVELS - 1)) * (stops.length - 1);
      const left = Math.min(Math.floor(place), stops.length - 2);
      for (let c = 0; c < 3; c += 1) {
        colours[level * 3 + c] = stops[left][c] + (stops[left + 1][c] - stops[left][c]) * (place - left);
      }
    }
    const ramp = stops.map((stop) => `rgb(${stop.join(",")})`).join(",");
    element("ramp").style.background = `linear-gradient(90deg, ${ramp})`;
  }

  function paint(canvas, head) {
    const [height, width] = [side().queries.length, side().keys.length];
    const image = new ImageData(width, height);
    for (let query = 0; query < height; query += 1) {
      for (let key = 0; key < width; key += 1) {
        const level = Math.round(Math.sqrt(Math.min(1, weight(head, query, key))) * (LEVELS - 1));
        const at = (query * width + key) * 4;
        for (let c = 0; c < 3; c += 1) image.data[at + c] = colours[level * 3 + c];
        image.data[at + 3] = 255;
      }
    }
    [canvas.width, canvas.height] = [width, height];
    canvas.getContext("2d").putImageData(image, 0, 0);
  }

  function radios(id, names, key) {
    names.forEach((name, index) => {
      const label = make("label");
      const input = make("input", "", { type: "radio", name: id, value: String(index), checked: index === shown[key] });
      input.addEventListener("change", () => { shown[key] = index; key === "side" ? showSide() : showLayer(); });
      label.append(input, make("span", name));
      element(id).append(label);
    });
  }

  function showSide() {
    element("layers").querySelectorAll("label").forEach((label) => label.remove());
    shown.layer = Math.min(shown.layer, side().layers.length - 1);
    radios("layers", side().layers.map((_, index) => String(index)), "layer");
    shown.query = side().queries.length - 1;
    shown.key = 0;
    document.querySelector(".views").classList.toggle("long", isLong());
    fillLabels();
    showLayer();
    scrollLinks();
  }

  function showLayer() {
    shown.head = Math.min(shown.head, layer().length - 1);
    const tiles = [...(layer().length > 1 ? [MEAN] : []), ...layer().keys()].map((head) => {
      const button = make("button", "", { type: "button" });
      const canvas = make("canvas");
      canvas.setAttribute("aria-hidden", "true");
      paint(canvas, head);
      button.dataset.head = head;
      button.append(canvas, make("span", headName(head)));
      button.addEventListener("click", () => { shown.head = head; showHead(); });
      return button;
    });
    if (layer().length === 1) shown.head = 0;
    element("heads").replaceChildren(...tiles);
    showHead();
  }

  function showHead() {
    for (const button of element("heads").children) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.head) === shown.head));
    }
    element("map-title").textContent = `${headName(shown.head)}, ${side().name}, layer ${shown.layer}`;
    element("map-hint").textContent = side().name === "cross"
      ? "Each row is a target token, the columns are the source: a row sums to 1. A target token predicts the next one."
      : "Each row is a token and says how it divides its attention: a row sums to 1.";
    paint(element("cells"), shown.head);
    drawAllLines();
    showPlace();
  }

  const cellSize = () => Number(element("field").dataset.size);

  function fitMap() {
    const room = element("map").clientWidth - element("rows").offsetWidth - 4;
    const size = Math.max(11, Math.min(44, Math.floor(room / side().keys.length)));
    const font = `${Math.min(13, size - 1)}px`;
    element("field").dataset.size = size;
    const [width, height] = [side().keys.length * size, side().queries.length * size];
    for (const id of ["field", "cells"]) {
      element(id).style.width = `${width}px`;
      element(id).style.height = `${height}px`;
    }
    for (const [id, length] of [["columns", "width"], ["rows", "height"]]) {
      element(id).style.fontSize = font;
      for (const label of element(id).children) label.style[length] = `${size}px`;
    }
  }

  function fillLabels() {
    const label = (token) => make("span", spelled(token));
    element("columns").replaceChildren(...side().keys.map(label));
    element("rows").replaceChildren(...side().queries.map(label));
    element("links").style.setProperty("--step", `${step()}px`);
    element("queries").replaceChildren(...side().queries.map((token, query) => {
      const item = make("li");
      const button = make("button", spelled(token), { type: "button", dir: "auto" });
      button.addEventListener("pointerenter", () => { shown.query = query; showPlace(); });
      button.addEventListener("focus", () => { shown.query = query; showPlace(); });
      item.append(button);
      return item;
    }));
    element("keys").replaceChildren(...side().keys.map((token) => {
      const item = make("li");
      item.append(make("span", spelled(token), { className: "key", dir: "auto" }), make("span", "", { className: "value" }));
      return item;
    }));
    fitMap();
  }

  const step = () => (isLong() ? 20 : 26); // pixels from one token of the lists to the next

  function line(query, key, width, opacity) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", "line");
    const place = { x1: "2%", y1: (query + 0.5) * step(), x2: "98%", y2: (key + 0.5) * step() };
    for (const [name, value] of Object.entries({ ...place, "stroke-width": width, "stroke-opacity": opacity })) {
      made.setAttribute(name, value);
    }
    return made;
  }

  function drawAllLines() {
    element("lines").style.height = `${longest() * step()}px`;
    const lines = [];
    if (!isLong()) {
      side().queries.forEach((_, query) => side().keys.forEach((__, key) => {
        const share = weight(shown.head, query, key);
        if (share > 0.04) lines.push(line(query, key, 1, share * 0.45));
      }));
    }
    element("all-lines").replaceChildren(...lines);
  }

  const digits = (value) => value.toFixed(3);

  function showPlace() {
    const { head, query, key } = shown;
    const size = cellSize();
    Object.assign(element("cell").style, { left: `${key * size}px`, top: `${query * size}px`, width: `${size}px`, height: `${size}px` });
    Object.assign(element("band").style, { left: "0", top: `${query * size}px`, width: "100%", height: `${size}px` });
    [...element("rows").children].forEach((label, index) => label.classList.toggle("on", index === query));
    [...element("columns").children].forEach((label, index) => label.classList.toggle("on", index === key));
    const [from, to] = [spelled(side().queries[query]), spelled(side().keys[key])];
    element("readout").textContent = `${from} (${query}) → ${to} (${key}): ${digits(weight(head, query, key))}`;
    [...element("queries").children].forEach((item, index) => {
      const button = item.firstChild;
      button.setAttribute("aria-current", String(index === query));
      button.tabIndex = index === query ? 0 : -1; // one stop for Tab; the arrow keys do the rest
    });
    const lines = [];
    [...element("keys").children].forEach((item, index) => {
      const share = weight(head, query, index);
      item.firstChild.style.setProperty("--share", Math.sqrt(share));
      item.lastChild.textContent = share >= 0.0005 ? digits(share) : "";
      if (share >= 0.005) lines.push(line(query, index, 1 + 3 * share, 0.15 + 0.85 * share));
    });
    element("query-lines").replaceChildren(...lines);
  }

  function moveTo(query, key) {
    shown.query = Math.max(0, Math.min(side().queries.length - 1, query));
    shown.key = Math.max(0, Math.min(side().keys.length - 1, key));
    showPlace();
    scrollLinks();
  }

  // Not while the pointer is over the list itself: it would run away.
  function scrollLinks() {
    element("links").scrollTop = shown.query * step() - element("links").clientHeight / 2;
  }

  function pointAt(event) {
    const box = element("cells").getBoundingClientRect();
    moveTo(Math.floor((event.clientY - box.top) / cellSize()), Math.floor((event.clientX - box.left) / cellSize()));
    const tip = element("tip");
    tip.replaceChildren(
      `${spelled(side().queries[shown.query])} → ${spelled(side().keys[shown.key])} `,
      make("b", digits(weight(shown.head, shown.query, shown.key))),
    );
    tip.hidden = false;
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${Math.max(4, Math.min(event.clientY + 16, innerHeight - tip.offsetHeight - 8))}px`;
  }

  const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

  element("map").addEventListener("keydown", (event) => {
    if (!STEPS[event.key]) return;
    event.preventDefault();
    moveTo(shown.query + STEPS[event.key][0], shown.key + STEPS[event.key][1]);
    element("cell").scrollIntoView({ block: "nearest", inline: "nearest" });
  });
  element("queries").addEventListener("keydown", (event) => {
    if (!STEPS[event.key]?.[0]) return;
    event.preventDefault();
    moveTo(shown.query + STEPS[event.key][0], shown.key);
    element("queries").children[shown.query].firstChild.focus();
  });
  element("field").addEventListener("pointermove", pointAt);
  element("field").addEventListener("pointerdown", pointAt);
  element("field").addEventListener("pointerleave", () => { element("tip").hidden = true; });
  addEventListener("keydown", (event) => { if (event.key === "Escape") element("tip").hidden = true; });
  addEventListener("resize", () => { fitMap(); showPlace(); });
  dark.addEventListener("change", () => { readColours(); showLayer(); });

  for (const share of [0, 0.05, 0.2, 0.5, 1]) {
    const tick = make("span", String(share));
    tick.style.left = `${Math.sqrt(share) * 100}%`;
    element("ticks").append(tick);
  }
  readColours();
  radios("sides", data.sides.map((each) => each.name), "side");
  showSide();
})();
