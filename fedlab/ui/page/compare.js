// Runs side by side: settings with their seeds, as `fedlab compare` has them.

import { ask } from "./answers.js";
import { Chart, styleOf } from "./charts.js";
import { address, card, element, fill, nameOf, select, tick } from "./page.js";
import { choice } from "./runs.js";
import { textTable } from "./tables.js";

const PAUSE = 4000;
const AXES = { round: ["round", "count"], megabytes: ["moved", "bytes"], seconds: ["time", "seconds"] };

/** The view of several runs. */
export class CompareView {
  constructor(root, parameters) {
    this.root = root;
    this.ids = parameters.getAll("id");
    this.title = "Compare";
    this.pause = PAUSE;
    this.axis = "round";
    this.log = false;
    this.metric = null;
    this.build();
  }

  build() {
    this.chosen = element("ul", { class: "chosen" });
    this.chart = new Chart("", { height: 380 });
    this.toolbar = element("div", { class: "toolbar" });
    this.curves = element("section", { class: "card", hidden: true }, element("h2", {}, "Curves"), this.toolbar, this.chart.figure,
      element("p", { class: "source" }, "Of settings with several seeds the line is the mean, the band its 95 % interval (Student's t). Source: metrics.jsonl, key test."));
    this.notes = element("div", {});
    this.tables = element("div", {});
    fill(this.root, element("h1", {}, "Compare"), this.chosen, this.notes, this.curves, this.tables);
  }

  async update() {
    fill(this.chosen, this.ids.map((id) => element("li", {}, element("span", {}, nameOf(id)), element("button", { type: "button", "aria-label": `Leave out ${nameOf(id)}`, onclick: () => this.leaveOut(id) }, "×"))));
    if (!this.ids.length) {
      fill(this.notes, element("p", { class: "empty" }, "Choose two runs or more in the ", element("a", { href: address("") }, "list of runs"), ", or a sweep."));
      return;
    }
    const { content, isNew } = await ask("compare", { run: this.ids });
    if (!isNew && this.found) return;
    this.found = content;
    this.metric ??= content.metrics.find((metric) => metric.first)?.name;
    fill(this.notes, content.notes.map((note) => element("p", { class: "note" }, note)));
    fill(this.tables,
      card("Figures", content.tables.map(textTable)),
      content.differs.rows.length > 0 && card("Settings", textTable(content.differs), element("p", { class: "source" }, "Source: scenario.toml of each run; engines, titles and seeds are left out.")));
    this.drawToolbar();
    this.draw();
  }

  leaveOut(id) {
    choice.ids.delete(id);
    location.hash = address("compare", { id: this.ids.filter((each) => each !== id) });
  }

  drawToolbar() {
    if (this.toolbar.contains(document.activeElement)) return;
    fill(this.toolbar,
      select("Metric", this.found.metrics.map(({ name: key, label }) => [key, label]), this.metric, (value) => { this.metric = value; this.draw(); }),
      select("Over", [["round", "rounds"], ["megabytes", "bytes moved"], ["seconds", "time"]], this.axis, (value) => { this.axis = value; this.draw(); }),
      tick("Logarithmic", this.log, (value) => { this.log = value; this.draw(); }));
  }

  draw() {
    const metric = this.found.metrics.find((each) => each.name === this.metric) ?? this.found.metrics[0];
    this.curves.hidden = false;
    this.chart.caption.textContent = metric.label[0].toUpperCase() + metric.label.slice(1);
    const curves = this.found.groups.map((group, place) => {
      const { rounds, mean, low, high } = group.curves[metric.name];
      const x = this.axis === "round" ? rounds : this.axis === "megabytes" ? group.megabytes.map((value) => 1e6 * value) : group.seconds;
      const bounded = low.some((value) => value !== null) ? { low, high } : {};
      const seeds = group.runs.length > 1 ? ` (${group.runs.length} seeds)` : "";
      return { label: group.name + seeds, ...styleOf(place), x, y: mean, ...bounded };
    });
    const [x, xKind] = AXES[this.axis];
    this.chart.set(curves, { kind: metric.fraction ? "fraction" : "number", x, xKind, log: this.log });
  }

  remove() {
    this.chart.remove();
  }
}
