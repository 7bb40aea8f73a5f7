"use strict";
(() => {
  const element = (id) => document.getElementById(id);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const config = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d"] };
  const drawn = new Map();
  const waiting = new Map();
  const parsed = new Map();

  // A section's figures are read when the first of them is drawn; how many there are is said beside them.
  const count = (section) => Number(element(`data-${section}`).dataset.count);
  function figures(section) {
    if (!parsed.has(section)) parsed.set(section, JSON.parse(element(`data-${section}`).textContent));
    return parsed.get(section);
  }

  // A figure is drawn when its place, whose height is fixed, comes into view: one at a time, so that the page answers.
  const queue = [];
  const observer = new IntersectionObserver((entries) => {
    const shown = entries.filter((entry) => entry.isIntersecting).map((entry) => entry.target.id);
    if (shown.length && queue.push(...shown) === shown.length) setTimeout(drawNext);
  }, { rootMargin: "100px" });

  function drawNext() {
    drawWaiting(queue.shift());
    if (queue.length) setTimeout(drawNext);
  }

  function drawWaiting(id) {
    const make = waiting.get(id);
    if (!make) return;
    waiting.delete(id);
    observer.unobserve(element(id));
    make();
  }

  function drawLater(id, make) {
    waiting.set(id, make);
    observer.observe(element(id));
  }

  function dressed(layout) {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = (settings) => ({ ...settings, gridcolor: colour("--grid"), linecolor: colour("--line") });
    const axes = layout.xaxis ? { xaxis: axis(layout.xaxis), yaxis: axis(layout.yaxis) } : {};
    return {
      ...layout,
      font: { ...layout.font, color: colour("--ink") },
      hoverlabel: {
        ...layout.hoverlabel, bgcolor: colour("--card"), bordercolor: colour("--line"),
        font: { color: colour("--ink") },
      },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--muted"), activecolor: colour("--accent") },
      ...axes,
    };
  }

  // A tile's text must fit its width: on a phone the same map has a third of the room.
  function fitted(figure, width) {
    return figure.data.map((trace) => {
      if (trace.type !== "heatmap") return trace;
      const room = (width - 150) / trace.x.length;
      const longest = Math.max(...trace.text.flat().flatMap((text) => text.split("<br>").map((line) => line.length)), 1);
      const size = Math.max(7, Math.min(trace.textfont.size, (room / longest) * 1.6));
      return { ...trace, textfont: { ...trace.textfont, size } };
    });
  }

  function draw(id, figure) {
    const place = element(id);
    drawn.set(id, figure);
    Plotly.react(place, fitted(figure, place.clientWidth), dressed(figure.layout), config);
  }

  function options(select, names) {
    for (const name of names) select.add(new Option(name, name));
    select.disabled = names.length < 2;
  }

  function drawMap() {
    const axes = element("map-axes").value;
    const metric = element("map-metric").value;
    const maps = figures("maps");
    const found = maps.find((map) => map.axes === axes && map.metric === metric)
      || maps.find((map) => map.axes === axes);
    element("map-metric").value = found.metric;
    draw("map", found.figure);
  }

  function smoothed(figure, level) {
    const traces = figure.data.map((trace) => {
      if (!trace.meta) return trace;
      const raw = trace.meta.level === 0;
      const faint = raw && !trace.meta.alone && level > 0;
      return { ...trace, visible: raw || trace.meta.level === level, opacity: faint ? 0.22 : 1,
        hoverinfo: faint ? "skip" : "all" };
    });
    return { ...figure, data: traces.filter((trace) => trace.visible !== false) };
  }

  function drawCurves(index) {
    const level = Number(document.querySelector("#smoothing input:checked").value);
    draw(`curves-${index}`, smoothed(figures("curves")[index], level));
  }

  function key(row, column) {
    const value = row.cells[column].dataset.value;
    return value === "" || value === "null" ? null : Number.isNaN(Number(value)) ? value : Number(value);
  }

  function compareKeys(a, b) {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), undefined, { numeric: true });
  }

  function sortBy(table, column) {
    const heads = [...table.tHead.rows[0].cells];
    const down = heads[column].getAttribute("aria-sort") === "ascending";
    heads.forEach((head, index) =>
      head.setAttribute("aria-sort", index === column ? (down ? "descending" : "ascending") : "none"));
    const rows = [...table.tBodies[0].rows].map((row) => ({ row, key: key(row, column) }));
    rows.sort((a, b) => {
      if (a.key === null || b.key === null) return (a.key === null) - (b.key === null);
      return (down ? -1 : 1) * compareKeys(a.key, b.key);
    });
    table.tBodies[0].append(...rows.map((item) => item.row));
  }

  if (count("maps")) {
    options(element("map-axes"), [...new Set(figures("maps").map((map) => map.axes))]);
    options(element("map-metric"), [...new Set(figures("maps").map((map) => map.metric))]);
    for (const id of ["map-axes", "map-metric"])
      element(id).addEventListener("change", () => { waiting.set("map", drawMap); drawWaiting("map"); });
    drawLater("map", drawMap);
  } else {
    element("map-card").remove();
    document.querySelector(".overview").classList.add("alone");
  }
  for (const section of ["scatter", "importance", "parallel", "stops", "curves", "analysis"]) {
    for (let index = 0; index < count(section); index += 1) {
      const id = `${section}-${index}`;
      drawLater(id, section === "curves" ? () => drawCurves(index) : () => draw(id, figures(section)[index]));
    }
    for (let index = count(section); element(`${section}-${index}`); index += 1) element(`${section}-${index}`).remove();
    if (["parallel", "stops", "curves"].includes(section) && !count(section)) element(`${section}-card`).remove();
  }
  element("smoothing")?.addEventListener("change", () => {
    for (let index = 0; index < count("curves"); index += 1) if (drawn.has(`curves-${index}`)) drawCurves(index);
  });
  const table = element("results");
  [...table.tHead.rows[0].cells].forEach((head, column) =>
    head.querySelector("button").addEventListener("click", () => sortBy(table, column)));
  addEventListener("beforeprint", () => { for (const id of [...waiting.keys()]) drawWaiting(id); });
  dark.addEventListener("change", () => { for (const [id, figure] of drawn) draw(id, figure); });
})();
