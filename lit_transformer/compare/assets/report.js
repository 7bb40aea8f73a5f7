"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const element = (id) => document.getElementById(id);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const config = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d"] };
  const drawn = new Map();

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
    if (!figure) { place.remove(); return; }
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
    const found = data.maps.find((map) => map.axes === axes && map.metric === metric)
      || data.maps.find((map) => map.axes === axes);
    element("map-metric").value = found.metric;
    draw("map", found.figure);
  }

  function smoothing() {
    return Number(document.querySelector("#smoothing input:checked").value);
  }

  function smoothed(figure, level) {
    const traces = figure.data.map((trace) => {
      if (!trace.meta) return trace;
      const raw = trace.meta.level === 0;
      const faint = raw && !trace.meta.alone && level > 0;
      return { ...trace, visible: raw || trace.meta.level === level, opacity: faint ? 0.22 : 1,
        hoverinfo: faint ? "skip" : "all" };
    });
    return { ...figure, data: traces };
  }

  function drawCurves() {
    for (const index of [0, 1]) {
      const figure = data.curves[index];
      if (element(`curves-${index}`)) draw(`curves-${index}`, figure && smoothed(figure, smoothing()));
    }
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

  if (data.maps.length) {
    options(element("map-axes"), [...new Set(data.maps.map((map) => map.axes))]);
    options(element("map-metric"), [...new Set(data.maps.map((map) => map.metric))]);
    element("map-axes").addEventListener("change", drawMap);
    element("map-metric").addEventListener("change", drawMap);
    drawMap();
  } else {
    element("map-card").remove();
    document.querySelector(".overview").classList.add("alone");
  }
  data.scatter.forEach((figure, index) => draw(`scatter-${index}`, figure));
  data.analysis.forEach((figure, index) => draw(`analysis-${index}`, figure));
  for (const index of [0, 1]) draw(`importance-${index}`, data.importance[index]);
  for (const name of ["parallel", "stops"]) {
    if (data[name].length) draw(`${name}-0`, data[name][0]);
    else element(`${name}-card`).remove();
  }
  if (data.curves.length) {
    drawCurves();
    element("smoothing").addEventListener("change", drawCurves);
  } else {
    element("curves-card").remove();
  }
  const table = element("results");
  [...table.tHead.rows[0].cells].forEach((head, column) =>
    head.querySelector("button").addEventListener("click", () => sortBy(table, column)));
  dark.addEventListener("change", () => { for (const [id, figure] of drawn) draw(id, figure); });
})();
