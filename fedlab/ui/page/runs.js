// The list of runs and sweeps.

import { ask } from "./answers.js";
import { address, ago, badge, element, fill, select } from "./page.js";
import { compared } from "./tables.js";

const COLUMNS = [
  { key: "name", label: "Run" },
  { key: "state", label: "State" },
  { key: "round", label: "Round", number: true },
  { key: "value", label: "Last metric", number: true },
  { key: "strategy", label: "Strategy" },
  { key: "client", label: "Client" },
  { key: "data", label: "Data" },
  { key: "engine", label: "Engine" },
  { key: "started", label: "Started" },
];
const STATES = ["running", "finished", "stopped", "failed", "unfinished", "damaged"];
const LOOKED_IN = ["name", "title", "strategy", "client", "data", "engine", "metric", "setting", "sweep", "state"];
const PAUSE = 2000;
const LONG_PAUSE = 5000;

/** What was chosen stays while other views are looked at. */
export const choice = { text: "", state: "", sweep: "", by: "started", down: true, ids: new Set() };

/** The view of all runs. */
export class RunsView {
  constructor(root) {
    this.root = root;
    this.rows = new Map();
    this.runs = [];
    this.title = "Runs";
    this.pause = LONG_PAUSE;
    this.build();
  }

  build() {
    this.heading = element("h1", {}, "Runs");
    this.count = element("p", { class: "lead", role: "status" });
    this.notes = element("div", {});
    this.sweeps = element("div", { class: "sweeps" });
    this.filters = element("div", { class: "toolbar" });
    this.body = element("tbody", {});
    this.heads = element("tr", {});
    this.table = element("table", { class: "runs" }, element("caption", { class: "unseen" }, "Runs"), element("thead", {}, this.heads), this.body);
    this.empty = element("div", { class: "empty" });
    this.compare = element("a", { class: "button" });
    fill(this.root, this.heading, this.count, this.notes, this.sweeps, this.filters, this.table, this.empty);
  }

  async update() {
    const { content, isNew } = await ask("runs");
    this.pause = content.runs.some((run) => run.state === "running") ? PAUSE : LONG_PAUSE;
    if (!isNew && this.runs.length) return this.drawTimes();
    document.getElementById("folder").textContent = content.folder;
    this.runs = content.runs;
    this.known = content.sweeps;
    const ids = new Set([...content.runs, ...content.sweeps].map((run) => run.id));
    for (const id of choice.ids) if (!ids.has(id)) choice.ids.delete(id);
    if (choice.sweep && !this.known.some((sweep) => sweep.id === choice.sweep)) choice.sweep = "";
    fill(this.notes, content.notes.map((note) => element("p", { class: "note" }, note)));
    this.drawSweeps();
    this.drawFilters();
    this.draw();
  }

  drawSweeps() {
    fill(this.sweeps, this.known.map((sweep) => element("article", { class: "sweep" },
      element("h2", {}, sweep.name),
      element("p", {}, sweep.problem || `Sweep of ${sweep.scenario}: ${sweep.ended} of ${sweep.members} runs have ended${sweep.running ? `, ${sweep.running} running` : ""}.`),
      element("p", { class: "actions" },
        sweep.begun > 1 && element("a", { class: "button", href: address("compare", { id: sweep.id }) }, "Compare"),
        element("button", { type: "button", onclick: () => { choice.sweep = choice.sweep === sweep.id ? "" : sweep.id; this.drawFilters(); this.draw(); } }, "Show its runs")))));
  }

  drawFilters() {
    if (!this.search) {
      this.search = element("input", { type: "search", value: choice.text, placeholder: "name, strategy, data, …", "aria-label": "Filter runs", oninput: (event) => { choice.text = event.target.value; this.draw(); } });
      this.picks = element("div", { class: "picks" });
      fill(this.filters, this.search, this.picks, this.compare);
    }
    if (this.picks.contains(document.activeElement)) return;
    const states = STATES.filter((state) => state === choice.state || this.runs.some((run) => run.state === state));
    fill(this.picks,
      select("State", [["", "all"], ...states.map((state) => [state, state])], choice.state, (value) => { choice.state = value; this.draw(); }),
      this.known.length > 0 && select("Sweep", [["", "all runs"], ["-", "no sweep"], ...this.known.map((sweep) => [sweep.id, sweep.name])], choice.sweep, (value) => { choice.sweep = value; this.draw(); }),
      element("div", { class: "narrow" }, select("Sort", COLUMNS.map(({ key, label }) => [key, label]), choice.by, (value) => { choice.by = value; choice.down = value === "started"; this.draw(); })));
  }

  drawHeads() {
    const focused = document.activeElement?.dataset?.key;
    fill(this.heads, element("th", { scope: "col" }, element("span", { class: "unseen" }, "Choose")), COLUMNS.map(({ key, label, number }) => {
      const is = choice.by === key;
      return element("th", { scope: "col", class: number ? "number" : null, "aria-sort": is ? (choice.down ? "descending" : "ascending") : null },
        element("button", { type: "button", "data-key": key, onclick: () => { choice.down = is ? !choice.down : key === "started"; choice.by = key; this.draw(); } },
          label, element("span", { class: "arrow", "aria-hidden": "true" }, is ? (choice.down ? "↓" : "↑") : "")));
    }));
    if (focused) this.heads.querySelector(`[data-key="${focused}"]`)?.focus();
  }

  draw() {
    this.drawHeads();
    const words = choice.text.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (run) => (!choice.state || run.state === choice.state)
      && (!choice.sweep || run.sweep === (choice.sweep === "-" ? "" : choice.sweep))
      && words.every((word) => LOOKED_IN.some((key) => String(run[key]).toLowerCase().includes(word)));
    const found = this.runs.filter(fits).sort((first, second) => compared(first[choice.by], second[choice.by], choice.down));
    const rows = found.map((run) => this.row(run));
    const now = [...this.body.children];
    if (rows.length !== now.length || rows.some((row, place) => row !== now[place])) this.body.replaceChildren(...rows);
    this.drawTimes();
    this.table.hidden = !found.length;
    fill(this.empty, !this.runs.length ? this.nothing() : !found.length && "No run fits these filters.");
    const all = this.runs.length.toLocaleString("en");
    const running = this.runs.filter((run) => run.state === "running").length;
    this.count.textContent = `${found.length === this.runs.length ? all : `${found.length.toLocaleString("en")} of ${all}`} run${this.runs.length === 1 ? "" : "s"}${running ? `, ${running} running` : ""}`;
    this.drawChoice();
  }

  nothing() {
    return [element("p", {}, "There is no run in this folder yet. It is shown as soon as it begins:"), element("pre", {}, "fedlab run quickstart")];
  }

  drawChoice() {
    const ids = [...choice.ids];
    this.compare.textContent = ids.length < 2 ? "Choose two runs to compare" : `Compare ${ids.length} runs`;
    this.compare.classList.toggle("off", ids.length < 2);
    if (ids.length < 2) {
      this.compare.removeAttribute("href");
      this.compare.setAttribute("aria-disabled", "true");
    } else {
      this.compare.href = address("compare", { id: ids });
      this.compare.removeAttribute("aria-disabled");
    }
    document.getElementById("to-compare").href = this.compare.href ? this.compare.getAttribute("href") : address("compare");
  }

  row(run) {
    const signature = JSON.stringify(run);
    const known = this.rows.get(run.id);
    if (known?.signature === signature) return known.row;
    const chosen = element("input", { type: "checkbox", checked: choice.ids.has(run.id), "aria-label": `Choose ${run.name} to compare`, onchange: (event) => { choice.ids[event.target.checked ? "add" : "delete"](run.id); this.drawChoice(); } });
    const cell = (label, number, ...children) => element("td", { "data-label": label, class: number ? "number" : null }, element("div", {}, children));
    const done = run.round !== null && run.rounds ? element("progress", { max: String(run.rounds), value: String(Math.min(run.round, run.rounds)), "aria-label": "rounds done" }) : null;
    const row = element("tr", {},
      element("td", { class: "choose" }, element("label", {}, chosen)),
      element("th", { scope: "row" }, element("a", { href: address("run", { id: run.id }) }, run.name), run.title && run.title !== run.name && element("span", { class: "under" }, run.title), run.sweep && element("span", { class: "under" }, `${run.setting || "setting"}, seed ${run.seed}`)),
      cell("State", false, badge(run.state), run.state === "damaged" && element("span", { class: "under" }, run.why)),
      cell("Round", true, run.round === null ? "–" : `${run.round.toLocaleString("en")}${run.rounds ? ` of ${run.rounds.toLocaleString("en")}` : ""}`, run.state === "running" && done),
      cell("Last metric", true, run.text || "–", run.metric && element("span", { class: "under" }, run.metric)),
      cell("Strategy", false, run.strategy || "–"), cell("Client", false, run.client || "–"), cell("Data", false, run.data || "–"), cell("Engine", false, run.engine || "–"),
      cell("Started", false, run.started ? element("time", { datetime: run.started, title: run.started }, ago(run.started)) : "–"));
    this.rows.set(run.id, { signature, row });
    return row;
  }

  drawTimes() {
    for (const time of this.body.querySelectorAll("time")) {
      const text = ago(time.dateTime);
      if (time.textContent !== text) time.textContent = text;
    }
  }

  remove() {}
}

