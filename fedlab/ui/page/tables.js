// Tables: of texts as they come, and of figures that can be sorted.

import { element, fill, shown } from "./page.js";

const ROWS_AT_ONCE = 100;

/** Return a table of texts as the server makes them: title, headers, rows, texts. */
export function textTable({ title, headers, rows, texts }) {
  const side = (place) => (place >= texts ? "number" : null);
  const table = element("table", { "aria-label": title },
    element("thead", {}, element("tr", {}, headers.map((header, place) => element("th", { scope: "col", class: side(place) }, header)))),
    element("tbody", {}, rows.map((row) => element("tr", {}, row.map((cell, place) => element("td", { class: side(place) }, cell))))));
  return element("div", { class: "titled" }, element("p", { class: "caption" }, title), scrolling(table, title));
}

/** Return what scrolls sideways by itself where it is too wide, by keyboard, too. */
export function scrolling(content, label) {
  return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, content);
}

/** A table whose columns sort it: `columns` have label and kind, rows are lists of values. */
export class SortedTable {
  constructor(title) {
    this.title = title;
    this.by = 0;
    this.down = false;
    this.most = ROWS_AT_ONCE;
    this.columns = [];
    this.rows = [];
    this.host = element("div", { class: "sorted" });
  }

  set(columns, rows) {
    const label = this.columns[this.by]?.label;
    this.columns = columns;
    this.rows = rows;
    // The column that it is sorted by stays, wherever it stands now.
    const place = columns.findIndex((column) => column.label === label);
    if (place < 0) this.down = false;
    this.by = Math.max(0, place);
    this.draw();
  }

  draw() {
    const sorted = [...this.rows].sort((first, second) => compared(first[this.by], second[this.by], this.down));
    const body = element("tbody", {}, sorted.slice(0, this.most).map((row) => element("tr", {},
      row.map((value, place) => element("td", { class: side(this.columns[place]) }, shown(value, this.columns[place].kind))))));
    const focused = document.activeElement?.dataset?.column;
    const table = element("table", { "aria-label": this.title },
      element("thead", {}, element("tr", {}, this.columns.map((column, place) => this.header(column, place)))),
      body);
    const left = sorted.length - this.most;
    const scrolled = this.host.querySelector(".scroll");
    const place = scrolled ? [scrolled.scrollLeft, scrolled.scrollTop] : [0, 0];
    const region = scrolling(table, this.title);
    fill(this.host, element("p", { class: "caption" }, this.title), region, left > 0 && element("button", {
      type: "button", class: "more",
      onclick: () => { this.most += 10 * ROWS_AT_ONCE; this.draw(); },
    }, `${left.toLocaleString("en")} more`));
    [region.scrollLeft, region.scrollTop] = place;
    if (focused !== undefined) this.host.querySelector(`[data-column="${focused}"]`)?.focus();
  }

  header(column, place) {
    const is = place === this.by;
    const button = element("button", {
      type: "button", "data-column": `${this.title}-${place}`.replaceAll('"', ""),
      onclick: () => { this.down = is ? !this.down : false; this.by = place; this.draw(); },
    }, column.label, element("span", { class: "arrow", "aria-hidden": "true" }, is ? (this.down ? "↓" : "↑") : ""));
    return element("th", { scope: "col", class: side(column), "aria-sort": is ? (this.down ? "descending" : "ascending") : null }, button);
  }
}

function side(column) {
  return column.kind === "text" ? null : "number";
}

/** Order two values; what is missing comes last, whichever way. */
export function compared(first, second, down) {
  const none = (value) => value === null || value === undefined || value === "";
  if (none(first) || none(second)) return none(first) - none(second);
  const order = typeof first === "number" && typeof second === "number" ? first - second : String(first).localeCompare(String(second), "en", { numeric: true });
  return down ? -order : order;
}
