// One run: its curves as they grow, its rounds, who holds what, and its files.

import { ask, fileAddress } from "./answers.js";
import { Chart } from "./charts.js";
import { confusionOf } from "./confusion.js";
import { address, badge, card, element, fill, nameOf, select, shown, tick } from "./page.js";
import { partitionOf } from "./partition.js";
import { Rounds, failure } from "./rounds.js";
import { textTable } from "./tables.js";

const PAUSE = 1500;
const LONG_PAUSE = 5000;
const AXES = { round: ["round", "count"], bytes: ["moved", "bytes"], seconds: ["time", "seconds"] };

/** The view of one run. */
export class RunView {
  constructor(root, parameters) {
    this.root = root;
    this.id = parameters.get("id");
    this.asked = parameters.get("round");
    this.title = "Run";
    this.pause = PAUSE;
    this.figures = { generation: -1, rounds: [], columns: {} };
    this.axis = "round";
    this.log = false;
    this.further = null;
    this.signatures = {};
    this.build();
  }

  build() {
    this.eyebrow = element("p", { class: "eyebrow" });
    this.heading = element("h1", {}, nameOf(this.id));
    this.subtitle = element("p", { class: "subtitle" });
    this.tiles = element("div", { class: "tiles" });
    this.said = element("div", {});
    this.rounds = new Rounds(this.id, (number) => this.mark(number));
    this.charts = { first: this.chart(""), loss: this.chart(""), further: this.chart(""), bytes: this.chart("Bytes a round"), seconds: this.chart("Seconds a round") };
    this.toolbar = element("div", { class: "toolbar" });
    this.curves = element("section", { class: "card" }, element("h2", {}, "Curves"), this.toolbar,
      element("div", { class: "pictures" }, Object.values(this.charts).map((chart) => chart.figure)),
      element("p", { class: "source" }, "A click in a chart chooses the round; a drag zooms in, a double click out. Source: metrics.jsonl, baselines.jsonl."));
    this.slots = Object.fromEntries(["partition", "confusion", "failures", "rest"].map((name) => [name, element("div", {})]));
    this.parts = [];
    // Until there is an answer, or where it is a refusal, empty charts would say nothing.
    this.whole = element("div", { hidden: true }, this.said, this.tiles, this.rounds.slider, this.curves, this.rounds.section, Object.values(this.slots));
    fill(this.eyebrow, element("a", { href: address("") }, "Runs"));
    fill(this.root, this.eyebrow, this.heading, this.subtitle, this.whole);
  }

  chart(title) {
    return new Chart(title, { chosen: (x) => this.pick(x) });
  }

  async update() {
    const { content: run, isNew } = await ask("run", { run: this.id });
    this.pause = run.state === "running" ? PAUSE : LONG_PAUSE;
    const grew = await this.fetchColumns();
    if (isNew || !this.run) {
      this.run = run;
      this.whole.hidden = false;
      this.title = run.name;
      this.drawHead();
      this.drawToolbar();
      await this.drawParts();
    }
    if (grew || isNew) this.drawCurves();
    if (grew) {
      this.rounds.set(this.figures.rounds, this.figures.generation);
      if (this.asked !== null) this.rounds.nearest(Number(this.asked));
      this.asked = null;
    }
  }

  /** Fetch the figures of the rounds that are new; return whether there are any. */
  async fetchColumns() {
    const { rounds, generation } = this.figures;
    const { content: found } = await ask("columns", { run: this.id, begin: rounds.length, generation: Math.max(0, generation) });
    const isFirst = generation < 0;
    if (found.generation !== generation || found.begin !== rounds.length) {
      this.figures = { generation: found.generation, rounds: [], columns: {} };
    }
    const { columns, rounds: known } = this.figures;
    const before = known.length;
    known.push(...found.rounds);
    for (const [key, values] of Object.entries(found.columns)) {
      columns[key] ??= new Array(before).fill(null);
      for (const value of values) columns[key].push(value);
    }
    for (const column of Object.values(columns)) while (column.length < known.length) column.push(null);
    return isFirst || found.rounds.length > 0;
  }

  drawHead() {
    const { run } = this;
    const progress = run.rounds && run.last !== null ? element("progress", { max: String(run.rounds), value: String(Math.min(run.last, run.rounds)), "aria-label": "rounds done" }) : null;
    fill(this.eyebrow, element("a", { href: address("") }, "Runs"), " / ", run.name);
    fill(this.heading, run.title);
    fill(this.subtitle, run.subtitle);
    fill(this.said,
      element("p", { class: "state" }, badge(run.state), " ", run.last === null ? "before the first round" : `round ${run.last}${run.rounds ? ` of ${run.rounds}` : ""}`, " ", run.state === "running" && progress, run.why && element("span", { class: "why" }, run.why)),
      run.fork && element("p", { class: "note" }, `This run ${run.fork}.`),
      run.notes.map((note) => element("p", { class: "note" }, note)),
      run.changes.map((change) => element("p", { class: "note" }, `Changed: ${change}`)),
      run.error && element("details", { class: "failure", open: true }, element("summary", {}, "What ended the run (error.txt)"), element("pre", { tabindex: "0" }, run.error)));
    fill(this.tiles, run.tiles.map(({ label, value, note }) => element("div", { class: "tile" }, element("span", {}, label), element("b", {}, value), element("span", {}, note))));
  }

  drawToolbar() {
    if (this.toolbar.contains(document.activeElement)) return;
    const others = this.run.charts.filter((chart) => !this.isShown(chart));
    if (!others.some((chart) => chart.name === this.further)) this.further = others[0]?.name ?? null;
    fill(this.toolbar,
      select("Over", [["round", "rounds"], ["bytes", "bytes moved"], ["seconds", "time"]], this.axis, (value) => { this.axis = value; this.drawCurves(); }),
      others.length > 0 && select("Third metric", others.map((chart) => [chart.name, chart.label]), this.further, (value) => { this.further = value; this.drawCurves(); }),
      tick("Logarithmic", this.log, (value) => { this.log = value; this.drawCurves(); }));
  }

  isShown(chart) {
    return chart === this.run.charts[0] || chart.name === "loss";
  }

  drawCurves() {
    const { charts } = this.run;
    const first = charts[0];
    const loss = charts.find((chart) => chart.name === "loss" && chart !== first);
    this.drawMetric(this.charts.first, first);
    this.drawMetric(this.charts.loss, loss);
    this.drawMetric(this.charts.further, charts.find((chart) => chart.name === this.further));
    this.drawPlain(this.charts.bytes, "bytes", [["bytes_down", "to clients", "federated"], ["bytes_up", "from clients", "local"]]);
    const phases = Object.keys(this.figures.columns).filter((key) => key.startsWith("seconds."));
    const roles = ["federated", "local", "centralised", "random", "worst", "other"];
    const ordered = ["seconds.total", ...phases.filter((key) => key !== "seconds.total")].filter((key) => phases.includes(key));
    this.drawPlain(this.charts.seconds, "seconds", ordered.map((key, place) => [key, key.slice(8), roles[place % roles.length]]));
    this.mark(this.rounds.number);
  }

  drawMetric(chart, wanted) {
    chart.figure.hidden = !wanted && chart !== this.charts.first;
    if (!wanted) {
      chart.caption.textContent = chart === this.charts.first ? "Metrics" : "";
      if (chart === this.charts.first) chart.set([], {});
      return;
    }
    chart.caption.textContent = wanted.label[0].toUpperCase() + wanted.label.slice(1);
    const curves = wanted.curves.filter((curve) => !curve.rounds || this.axis === "round").map((curve) => ({
      label: curve.label, role: curve.role, dash: curve.dashed ? [6, 4] : [],
      x: curve.rounds ?? this.x(), y: curve.values ?? this.column(curve.key),
    }));
    chart.set(curves, this.options(wanted.fraction ? "fraction" : "number"));
  }

  drawPlain(chart, kind, curves) {
    chart.set(curves.map(([key, label, role]) => ({ label, role, dash: [], x: this.x(), y: this.column(key) })), this.options(kind));
  }

  options(kind) {
    const [x, xKind] = AXES[this.axis];
    return { kind, x, xKind, log: this.log };
  }

  column(key) {
    return this.figures.columns[key] ?? new Array(this.figures.rounds.length).fill(null);
  }

  /** Return where each round stands on the axis: its number, or what was spent up to it. */
  x() {
    const { rounds } = this.figures;
    if (this.axis === "round") return rounds;
    const keys = this.axis === "bytes" ? ["bytes_down", "bytes_up"] : ["seconds.total"];
    const columns = keys.map((key) => this.column(key));
    let sum = 0;
    return rounds.map((_, place) => (sum += columns.reduce((all, column) => all + (column[place] ?? 0), 0)));
  }

  pick(x) {
    if (this.axis === "round") return this.rounds.nearest(x);
    const xs = this.x();
    return this.rounds.choose(this.figures.rounds[xs.lastIndexOf(x)]);
  }

  mark(number) {
    const place = this.figures.rounds.indexOf(number);
    const x = place < 0 ? null : this.x()[place];
    for (const chart of Object.values(this.charts)) chart.mark(x);
  }

  /** Draw what lies below the rounds, each part only where it is another than before. */
  async drawParts() {
    const { run } = this;
    if (this.isOther("partition", run.clients)) await this.put("partition", run.clients ? await partitionOf(this.id) : null);
    if (this.isOther("confusion", run.confusion)) await this.put("confusion", run.confusion && confusionOf(run.confusion));
    if (this.isOther("failures", run.failures)) {
      const { count, reasons, newest } = run.failures;
      fill(this.slots.failures, count > 0 && card("Failures",
        element("p", { class: "lead" }, `${count.toLocaleString("en")} failure${count > 1 ? "s" : ""}; failed clients were left out of the mean.`),
        textTable(reasons), element("details", {}, element("summary", {}, `The last ${newest.length}`), newest.map(failure)),
        element("p", { class: "source" }, "Source: failures.jsonl")));
    }
    if (this.isOther("rest", [run.files, run.environment])) this.drawRest();
  }

  isOther(part, content) {
    const signature = JSON.stringify(content);
    if (this.signatures[part] === signature) return false;
    this.signatures[part] = signature;
    return true;
  }

  async put(name, part) {
    fill(this.slots[name], part?.section);
    if (part) this.parts.push(part);
  }

  drawRest() {
    const { run } = this;
    const report = run.files.some((file) => file.name === "report.html");
    const link = (file) => element("li", {}, element("a", { href: fileAddress(this.id, file.name), target: "_blank", rel: "noopener" }, file.name), ` ${shown(file.bytes, "bytes")}`);
    const open = this.slots.rest.querySelector("details[data-of=scenario]")?.open ?? false;
    fill(this.slots.rest,
      card("Files",
        report ? element("p", {}, element("a", { class: "button", href: fileAddress(this.id, "report.html"), target: "_blank", rel: "noopener" }, "Report")) : element("p", { class: "lead" }, `There is no report yet: it is written at the end, or by 'fedlab report'.`),
        element("ul", { class: "files" }, run.files.map(link))),
      card("Scenario and environment",
        element("details", { "data-of": "scenario", open }, element("summary", {}, "Scenario: every key, defaults included"), element("pre", { tabindex: "0" }, run.scenario)),
        element("details", {}, element("summary", {}, "Environment"), element("dl", { class: "pairs" }, run.environment.map(([name, text]) => element("div", {}, element("dt", {}, name), element("dd", {}, text)))))));
  }

  remove() {
    for (const chart of Object.values(this.charts)) chart.remove();
    for (const part of this.parts) part.remove();
  }
}
