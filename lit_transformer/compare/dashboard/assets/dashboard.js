/* The page's own functions: the address, cells of the table, figures as SVG. Loaded as a file, so that no script needs to stand in the page. */
(function () {
  "use strict";
  const dashNow = (window.dash_clientside = window.dash_clientside || {});
  const unchanged = () => dashNow.no_update;

  dashNow.lit_transformer = {
    // The state of the page in its address, without a new entry in the history for each key that is typed. An answer
    // that names its page comes too late once another one is shown.
    address(state) {
      if (typeof state !== "string") return unchanged();
      const at = (state + "?").indexOf("?"), path = state.slice(0, at) || window.location.pathname, search = state.slice(at);
      if (path === window.location.pathname && search !== window.location.search) {
        window.history.replaceState(window.history.state, "", path + search);
      }
      return unchanged();
    },
    current(pathname) {
      document.querySelectorAll("header nav a").forEach((link) => {
        if (link.getAttribute("href") === pathname) link.setAttribute("aria-current", "page");
        else link.removeAttribute("aria-current");
      });
      return unchanged();
    },
  };

  // A link that Dash follows without loading the page anew.
  function follow(event) {
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    window.history.pushState({}, "", event.currentTarget.getAttribute("href"));
    window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
    window.scrollTo(0, 0);
  }

  const cells = (window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {});
  cells.RunLink = (props) => {
    const row = props.data || {};
    const swatch = React.createElement("span", { className: "swatch", style: { background: row.colour }, key: "s" });
    if (row.count !== undefined) return React.createElement("span", null, swatch, row.run);
    const target = "/run?id=" + encodeURIComponent(row.id);
    const name = String(row.run).replace(/^(sweeps\/([^/]+\/))?cells\//, "$2"); // the tooltip has all of it
    return React.createElement("a", { href: target, onClick: follow }, swatch, name);
  };
  cells.RunState = (props) => {
    const status = String(props.value);
    return React.createElement("span", { className: "state " + (/^[a-z]+$/.test(status) ? status : "mixed") }, status);
  };

  const formats = (window.dashAgGridFunctions = window.dashAgGridFunctions || {});
  const number = (value) => {
    if (!Number.isFinite(value)) return "";
    const size = Math.abs(value);
    return value === 0 || (size >= 1e-3 && size < 1e3) ? value.toFixed(3) : value.toPrecision(3);
  };
  const UNITS = [[1e18, " E"], [1e15, " P"], [1e12, " T"], [1e9, " G"], [1e6, " M"], [1e3, " k"]];
  const si = (value) => {
    if (!Number.isFinite(value)) return "";
    const unit = UNITS.find(([size]) => Math.abs(value) >= size);
    return unit ? Number((value / unit[0]).toPrecision(3)) + unit[1] : String(Number(value.toPrecision(3)));
  };
  const span = (seconds) => {
    if (!Number.isFinite(seconds)) return "";
    const whole = Math.round(seconds), hours = Math.floor(whole / 3600), minutes = Math.floor((whole % 3600) / 60);
    return hours ? `${hours} h ${minutes} min` : minutes ? `${minutes} min ${whole % 60} s` : `${whole} s`;
  };
  const pair = (format) => (mean, sd) => `${format(mean)} ± ${format(sd)}`;
  const spread = (format, both = pair(format)) => (params) => {
    if (params.value === null || params.value === undefined) return "";
    if (typeof params.value !== "number") return String(params.value);
    const sd = params.data && params.data[params.colDef.field + "s"];
    return typeof sd === "number" ? both(params.value, sd) : format(params.value);
  };
  const measured = (value) => (Number.isInteger(value) ? String(value) : number(value));
  // As style.mean_text in Python: a small deviation is told in the digits of its mean.
  formats.measured = spread(measured, (mean, sd) => {
    const size = Math.abs(mean);
    if (!(sd > 0 && sd < 1e-3 && size >= 1e-3 && size < 1e3)) return pair(measured)(mean, sd);
    const digits = Math.min(6, -Math.floor(Math.log10(sd)));
    return `${mean.toFixed(digits)} ± ${sd.toFixed(digits)}`;
  });
  formats.count = spread(si);
  formats.duration = spread(span);
  formats.compared = (params) => {
    if (typeof params.value !== "number") return params.value === null || params.value === undefined ? "" : String(params.value);
    return (String(params.data.name).includes("/") ? formats.measured : formats.count)(params);
  };

  // Sliders and lists of boxes are named by the label above them, and a menu takes the focus itself, not by an input that
  // nobody sees, at which Shift+Tab stops: Dash lets nobody say so.
  const UNNAMED = ".control :is([role=slider], [role=listbox]):not([aria-labelledby])";
  function mend() {
    document.querySelectorAll(UNNAMED).forEach((node) =>
      node.setAttribute("aria-labelledby", node.closest(".control").getAttribute("aria-labelledby")));
    document.querySelectorAll("input.dash-dropdown-focus-target:not([tabindex='-1'])").forEach((input) => {
      const button = input.parentElement.querySelector("button.dash-dropdown");
      if (button) [input.tabIndex, button.tabIndex] = [-1, 0];
    });
  }
  new MutationObserver(mend).observe(document.documentElement, {
    childList: true, subtree: true, attributes: true, attributeFilter: ["tabindex"], // Dash sets it back on leaving
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest && event.target.closest("button.save");
    if (!button) return;
    const plot = button.parentElement.querySelector(".js-plotly-plot");
    if (plot) window.Plotly.downloadImage(plot, { format: "svg", filename: plot.parentElement.id || "figure" });
  });
})();
