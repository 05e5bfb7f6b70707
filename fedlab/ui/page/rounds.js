// Going through the rounds of a run: a slider, and what its files say of the chosen round.

import { ask } from "./answers.js";
import { element, fill } from "./page.js";
import { SortedTable, textTable } from "./tables.js";

const MOST_KEPT = 200;

/** The slider and the panel of a run's rounds; `chosen` is told which round is looked at. */
export class Rounds {
  constructor(run, chosen) {
    this.run = run;
    this.chosen = chosen;
    this.numbers = [];
    this.generation = null;
    this.number = null;
    this.follows = true;
    this.kept = new Map();
    this.clients = [new SortedTable("Clients"), new SortedTable("New clients")];
    this.build();
  }

  build() {
    this.range = element("input", { type: "range", min: "0", max: "0", value: "0", id: "round", oninput: () => this.choose(this.numbers[Number(this.range.value)]) });
    this.label = element("output", { for: "round" });
    const step = (text, by, name) => element("button", { type: "button", "aria-label": name, onclick: () => this.step(by) }, text);
    this.newest = element("button", { type: "button", onclick: () => this.choose(this.numbers[this.numbers.length - 1]) }, "Newest");
    this.slider = element("div", { class: "scrub" },
      element("label", { for: "round" }, "Round"), this.label,
      step("‹", -1, "Round before"), this.range, step("›", 1, "Next round"), this.newest);
    this.metrics = element("div", { class: "tiles" });
    this.facts = element("dl", { class: "facts" });
    this.tables = element("div", { class: "tables" });
    this.failures = element("div", {});
    this.problem = element("p", { class: "note", hidden: true });
    this.heading = element("h2", {}, "Round");
    this.section = element("section", { class: "card", id: "of-round" }, this.heading, this.problem, this.metrics, this.facts, this.tables, this.clients.map((table) => table.host), this.failures);
  }

  /** Take the numbers of all rounds there are; a run that goes on is followed to its newest. */
  set(numbers, generation) {
    if (generation !== this.generation) this.kept.clear();
    this.generation = generation;
    this.numbers = numbers;
    this.range.max = String(Math.max(0, numbers.length - 1));
    this.range.disabled = this.newest.disabled = numbers.length < 2;
    if (!numbers.length) {
      this.label.textContent = "none yet";
      fill(this.facts, element("div", {}, "No round has been written yet."));
      return;
    }
    const gone = this.number === null || !numbers.includes(this.number);
    if (gone || this.follows) this.choose(numbers[numbers.length - 1]);
    else this.place();
  }

  step(by) {
    const place = this.numbers.indexOf(this.number) + by;
    if (place >= 0 && place < this.numbers.length) this.choose(this.numbers[place]);
  }

  /** Look at the round nearest to a number. */
  nearest(number) {
    if (!this.numbers.length) return;
    this.choose(this.numbers.reduce((best, each) => (Math.abs(each - number) < Math.abs(best - number) ? each : best)));
  }

  choose(number) {
    if (number === undefined) return;
    const before = this.number;
    this.number = number;
    this.follows = number === this.numbers[this.numbers.length - 1];
    this.place();
    if (number !== before) {
      this.chosen(number);
      this.load();
    }
  }

  place() {
    const last = this.numbers[this.numbers.length - 1];
    this.range.value = String(this.numbers.indexOf(this.number));
    this.range.setAttribute("aria-valuetext", `round ${this.number} of ${last}`);
    this.label.textContent = `${this.number} of ${last}`;
    this.newest.classList.toggle("on", this.follows);
  }

  /** Show the chosen round; while one is on its way, the slider may be elsewhere already. */
  async load() {
    if (this.isLoading) return;
    this.isLoading = true;
    try {
      let shown = null;
      while (shown !== this.number) {
        const wanted = this.number;
        const found = this.kept.get(wanted) ?? (await ask("round", { run: this.run, round: wanted })).content;
        this.kept.set(wanted, found);
        if (this.kept.size > MOST_KEPT) this.kept.delete(this.kept.keys().next().value);
        shown = wanted;
        if (wanted === this.number) this.draw(found);
      }
      this.problem.hidden = true;
    } catch (error) {
      this.problem.hidden = false;
      this.problem.textContent = error.message;
    } finally {
      this.isLoading = false;
    }
  }

  draw(found) {
    this.heading.textContent = `Round ${found.round}`;
    fill(this.metrics, found.metrics.map(({ label, value, note }) => element("div", { class: "tile" }, element("span", {}, label), element("b", {}, value), element("span", {}, note))));
    fill(this.facts, found.facts.map(([name, text]) => element("div", {}, element("dt", {}, name), element("dd", {}, text))));
    fill(this.tables, found.tables.map(textTable));
    this.clients.forEach((table, place) => {
      const { title, columns, rows } = found.clients[place] ?? {};
      table.host.hidden = !rows;
      table.title = title;
      if (rows) table.set(columns, rows);
    });
    fill(this.failures, found.failures.map(failure));
  }
}

/** Return a failure as what unfolds to its traceback. */
export function failure({ round, client, phase, reason, traceback }) {
  const what = `${round === undefined ? "" : `Round ${round}, `}client ${client}, ${phase}: ${reason}`;
  if (!traceback) return element("p", { class: "failure" }, what);
  return element("details", { class: "failure" }, element("summary", {}, what), element("pre", { tabindex: "0" }, traceback));
}
