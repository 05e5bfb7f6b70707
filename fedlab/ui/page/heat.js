// Shares of rows and columns as shades, on a canvas: thousands of cells stay quick.

import { colour } from "./charts.js";
import { element } from "./page.js";

const NUMBERS_UP_TO = [12, 20];
const NAMES_UP_TO = 40;

/**
 * A picture of a matrix: `share(row, column)` is the shade, `number` what is written into a cell
 * where there is room, `said(row, column)` what is said of the cell under the pointer; `bars` are
 * values drawn above the columns.
 */
export class Heat {
  constructor(what) {
    this.what = what;
    this.canvas = element("canvas", { role: "img", "aria-label": what.label });
    this.said = element("p", { class: "said" }, what.hint);
    this.host = element("div", { class: "heat" }, this.canvas, this.said);
    this.watcher = new ResizeObserver(() => this.draw());
    this.watcher.observe(this.host);
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.repaint = () => this.draw();
    this.scheme.addEventListener("change", this.repaint);
    for (const kind of ["pointermove", "pointerdown"]) this.canvas.addEventListener(kind, (event) => this.point(event));
  }

  layout() {
    const { rows, columns, rowNames = [], bars } = this.what;
    const width = this.host.clientWidth;
    const named = rows <= NAMES_UP_TO && rowNames.length;
    const longest = named ? Math.max(...rowNames.map((name) => Math.min(14, name.length))) : 0;
    const left = named ? Math.max(44, Math.min(120, 14 + 7 * longest)) : 44;
    const cell = Math.max(rows ? 2 : 0, Math.min(24, rows ? 320 / rows : 0));
    const top = bars ? 74 : 20;
    return { width, left, top, cell, named, each: (width - left - 2) / columns, height: top + cell * rows + 24 };
  }

  draw() {
    const { width, left, top, cell, each, height, named } = this.layout();
    if (width < 50) return;
    const { rows, columns, bars, rowNames = [], columnNames = [] } = this.what;
    const scale = devicePixelRatio;
    this.canvas.width = width * scale;
    this.canvas.height = height * scale;
    this.canvas.style.height = `${height}px`;
    const pen = this.canvas.getContext("2d");
    pen.scale(scale, scale);
    pen.font = "12px system-ui, sans-serif";
    pen.textBaseline = "middle";
    if (bars) this.drawBars(pen, left, top - 10, each);
    const hue = colour("plot-federated");
    const writes = rows <= NUMBERS_UP_TO[0] && columns <= NUMBERS_UP_TO[1] && each >= 26 && cell >= 14;
    for (let row = 0; row < rows; row += 1) {
      pen.fillStyle = colour("muted");
      pen.textAlign = "right";
      if (named) pen.fillText(shortened(rowNames[row], 14), left - 6, top + cell * (row + 0.5), left - 8);
      for (let column = 0; column < columns; column += 1) {
        const share = this.what.share(row, column);
        if (!share) continue;
        pen.globalAlpha = 0.95 * Math.sqrt(share);
        pen.fillStyle = hue;
        pen.fillRect(left + each * column, top + cell * row, Math.max(1, each - (each > 6 ? 1 : 0)), Math.max(1, cell - (cell > 6 ? 1 : 0)));
        pen.globalAlpha = 1;
        if (writes) {
          pen.fillStyle = share > 0.35 ? colour("plot-on_federated") : colour("ink");
          pen.textAlign = "center";
          pen.fillText(this.what.number(row, column), left + each * (column + 0.5), top + cell * (row + 0.5), each - 4);
        }
      }
    }
    this.nameColumns(pen, columnNames, columns, left, each, top + cell * rows + 12);
  }

  drawBars(pen, left, bottom, each) {
    const { bars } = this.what;
    const most = Math.max(1, ...bars);
    pen.fillStyle = colour("muted");
    pen.textAlign = "right";
    pen.fillText(most.toLocaleString("en"), left - 6, 12, left - 8);
    pen.fillText("0", left - 6, bottom - 4);
    pen.fillStyle = colour("plot-federated");
    bars.forEach((value, column) => {
      const height = ((bottom - 6) * value) / most;
      pen.fillRect(left + each * column, bottom - height, Math.max(1, each - (each > 6 ? 2 : 0)), height);
    });
  }

  nameColumns(pen, names, columns, left, each, y) {
    const longest = Math.max(...names.map((name) => (typeof name === "number" ? String(name).length : 0)), 0);
    const every = Math.max(1, Math.ceil(Math.max(34, 7 * longest + 14) / each));
    pen.fillStyle = colour("muted");
    pen.textAlign = "center";
    for (let column = 0; column < columns; column += every) {
      const room = each * every - 4;
      pen.fillText(shortened(String(names[column] ?? column), Math.max(3, Math.floor(room / 7))), left + each * (column + 0.5), y, Math.max(20, room));
    }
  }

  point(event) {
    const { left, top, cell, each } = this.layout();
    const place = this.canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - place.left - left) / each);
    const row = Math.floor((event.clientY - place.top - top) / (cell || 1));
    if (column < 0 || column >= this.what.columns) return;
    this.said.textContent = this.what.said(row >= 0 && row < this.what.rows ? row : null, column);
  }

  remove() {
    this.watcher.disconnect();
    this.scheme.removeEventListener("change", this.repaint);
  }
}

function shortened(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}
