// Curves over rounds, bytes or seconds, drawn by uPlot in the colours of the page.

import uPlot from "./uplot/uPlot.esm.js";
import { element, fill, shown } from "./page.js";

export const ROLES = ["federated", "local", "centralised", "random", "worst", "other"];
const DASHES = [[], [6, 4], [2, 3], [8, 3, 2, 3]];
const HEIGHT = 250;

/** Return a colour of the page. */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** Return the dash pattern and the role of the place-th of many curves. */
export function styleOf(place) {
  return { role: ROLES[place % ROLES.length], dash: DASHES[Math.floor(place / ROLES.length) % DASHES.length] };
}

/**
 * A chart. `curves` have label, role, x and y (lists of equal length), and may have dash, low and
 * high (the bounds of a band). A click chooses the nearest x; the chosen one is marked.
 */
export class Chart {
  constructor(title, { chosen = null, height = HEIGHT } = {}) {
    this.chosen = chosen;
    this.height = height;
    this.marked = null;
    this.plot = null;
    this.shape = "";
    this.caption = element("figcaption", {}, title);
    this.area = element("div", { class: "area" });
    this.image = element("div", { class: "chart", role: "img" }, this.area);
    this.figure = element("figure", { class: "curves" }, this.caption, this.image);
    this.watcher = new ResizeObserver(() => this.resize());
    this.watcher.observe(this.area);
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.repaint = () => { this.shape = ""; this.last && this.set(...this.last); };
    this.scheme.addEventListener("change", this.repaint);
  }

  set(curves, options) {
    this.last = [curves, options];
    const { kind = "number", x: xLabel = "round", xKind = "count", log = false } = options;
    const drawn = curves.filter((curve) => curve.y.some((value) => value !== null && value !== undefined && (!log || value > 0)));
    this.image.setAttribute("aria-label", described(this.caption.textContent, drawn, kind));
    if (!drawn.length) {
      this.end();
      fill(this.area, element("p", { class: "empty" }, log && curves.length ? "No value above zero." : "Nothing has been measured yet."));
      return;
    }
    const data = joined(drawn, log);
    const shape = JSON.stringify([drawn.map((c) => [c.label, c.role, c.dash, Boolean(c.low)]), kind, xLabel, log]);
    if (this.plot && shape === this.shape) {
      this.plot.setData(data, !this.isZoomed());
      return;
    }
    this.shape = shape;
    this.end();
    this.area.replaceChildren();
    this.plot = new uPlot(this.configured(drawn, kind, xLabel, xKind, log), data, this.area);
    this.listen();
  }

  configured(curves, kind, xLabel, xKind, log) {
    const ink = { stroke: colour("muted"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif" };
    const series = [{ label: xLabel, value: (_, value) => (value === null ? "–" : shown(value, xKind)) }];
    const bands = [];
    for (const curve of curves) {
      const stroke = colour(`plot-${curve.role}`);
      series.push({ label: curve.label, stroke, width: 2, dash: curve.dash, spanGaps: true, points: { size: 5 }, value: (_, value) => shown(value, kind) });
      if (curve.low) {
        bands.push({ series: [series.length + 1, series.length], fill: `${stroke}2b` });
        for (const bound of ["low", "high"]) {
          series.push({ label: `${curve.label} ${bound}`, class: "bound", stroke: "transparent", width: 0, spanGaps: true, points: { show: false } });
        }
      }
    }
    return {
      width: Math.max(200, this.area.clientWidth), height: this.height, series, bands,
      scales: { x: { time: false }, y: log ? { distr: 3 } : { range: (_, low, high) => ranged(low, high, kind) } },
      axes: [
        { ...ink, values: (_, ticks) => ticks.map((tick) => (xKind === "count" && !Number.isInteger(tick) ? "" : shown(tick, xKind))), space: 60, label: xLabel, labelSize: 18, labelGap: 0, size: 28 },
        { ...ink, values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : tickText(tick, kind))), size: (_, values) => 14 + 7 * Math.max(3, ...(values ?? []).map((value) => value.length)) },
      ],
      cursor: { points: { size: 7 }, drag: { x: true, y: false } },
      legend: { live: true, markers: { dash: (_, place) => (series[place].dash?.length ? "dashed" : "solid") } },
      hooks: { draw: [(plot) => this.drawMark(plot), () => setTimeout(() => this.readMarked())] },
    };
  }

  listen() {
    const over = this.plot.over;
    let pressed = 0;
    over.addEventListener("mouseleave", () => setTimeout(() => this.readMarked()));
    over.addEventListener("pointerdown", (event) => { pressed = event.clientX; });
    over.addEventListener("click", (event) => {
      if (this.chosen && Math.abs(event.clientX - pressed) < 4 && this.plot.cursor.idx !== null) {
        this.chosen(this.plot.data[0][this.plot.cursor.idx]);
      }
    });
  }

  /** Mark an x: the legend shows its values, else the last, while the pointer is elsewhere. */
  mark(x) {
    this.marked = x;
    this.plot?.redraw(false);
  }

  readMarked() {
    if (!this.plot || this.plot.cursor.left >= 0) return;
    const xs = this.plot.data[0];
    if (this.marked === null || this.marked === undefined) {
      this.plot.setLegend({ idxs: this.plot.data.map(lastPlace) });
    } else if (xs.includes(this.marked)) {
      this.plot.setLegend({ idx: xs.indexOf(this.marked) });
    }
  }

  drawMark(plot) {
    if (this.marked === null || this.marked === undefined) return;
    const x = Math.round(plot.valToPos(this.marked, "x", true));
    const { left, top, width, height } = plot.bbox;
    if (x < left || x > left + width) return;
    plot.ctx.save();
    plot.ctx.strokeStyle = colour("accent");
    plot.ctx.lineWidth = devicePixelRatio;
    plot.ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
    plot.ctx.beginPath();
    plot.ctx.moveTo(x, top);
    plot.ctx.lineTo(x, top + height);
    plot.ctx.stroke();
    plot.ctx.restore();
  }

  isZoomed() {
    const xs = this.plot.data[0];
    const { min, max } = this.plot.scales.x;
    return xs.length > 1 && (min > xs[0] || max < xs[xs.length - 1]);
  }

  resize() {
    const width = this.area.clientWidth;
    if (this.plot && width && width !== this.plot.width) this.plot.setSize({ width, height: this.height });
  }

  end() {
    this.plot?.destroy();
    this.plot = null;
  }

  remove() {
    this.end();
    this.watcher.disconnect();
    this.scheme.removeEventListener("change", this.repaint);
  }
}

/** Return the bounds of the axis; shares lie between 0 and 1, whatever an interval says. */
function ranged(low, high, kind) {
  const [begin, end] = uPlot.rangeNum(low ?? 0, high ?? 1, 0.06, true);
  return kind === "fraction" ? [Math.max(0, begin), Math.min(1, Math.max(end, 0.01))] : [begin, end];
}

function lastPlace(values) {
  let place = values.length - 1;
  while (place > 0 && (values[place] === null || values[place] === undefined)) place -= 1;
  return place;
}

function tickText(tick, kind) {
  return kind === "fraction" ? `${Number((100 * tick).toFixed(2))}\u00a0%` : shown(tick, kind);
}

/** Return uPlot's columns: all x of all curves, and each curve's values there. */
function joined(curves, log) {
  const positive = (values) => (log ? values.map((value) => (value > 0 ? value : null)) : values);
  const tables = curves.map((curve) => {
    const columns = [curve.y, ...(curve.low ? [curve.low, curve.high] : [])];
    return ascending(curve.x, columns.map(positive));
  });
  const same = tables.every(([x]) => x.length === tables[0][0].length && x.every((value, place) => value === tables[0][0][place]));
  return same ? [tables[0][0], ...tables.flatMap((table) => table.slice(1))] : uPlot.join(tables);
}

/** Return columns of which x ascends strictly: of equal ones the last stays. */
function ascending(x, columns) {
  const places = x.map((_, place) => place).filter((place) => x[place] !== null && (place + 1 === x.length || x[place] !== x[place + 1]));
  if (places.length === x.length) return [x, ...columns];
  return [places.map((place) => x[place]), ...columns.map((column) => places.map((place) => column[place]))];
}

function described(title, curves, kind) {
  const parts = curves.map((curve) => {
    const values = curve.y.filter((value) => value !== null && value !== undefined);
    return `${curve.label}: from ${shown(values[0], kind)} to ${shown(values[values.length - 1], kind)}`;
  });
  return `${title}. ${parts.join("; ") || "No values yet"}.`;
}
