// Which view is shown, and when it asks for what is new.

import { CompareView } from "./compare.js";
import { RunView } from "./run.js";
import { RunsView } from "./runs.js";

const VIEWS = { "": RunsView, run: RunView, compare: CompareView };
const AFTER_FAULT = 5000;
const main = document.getElementById("main");
const banner = document.getElementById("banner");
let view = null;
let timer = null;

function open() {
  const [, name, query = ""] = location.hash.match(/^#\/([a-z]*)(?:\?(.*))?$/) ?? ["", "", ""];
  const isFirst = view === null;
  view?.remove();
  main.replaceChildren();
  main.className = name || "list";
  for (const [id, of] of [["to-runs", ""], ["to-compare", "compare"]]) {
    const link = document.getElementById(id);
    if (of === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const View = VIEWS[name] ?? RunsView;
  view = new View(main, new URLSearchParams(query));
  if (!isFirst) {
    main.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
  refresh();
}

async function refresh() {
  clearTimeout(timer);
  const asked = view;
  let pause = AFTER_FAULT;
  try {
    await asked.update();
    pause = asked.pause;
    if (asked === view) tell("");
  } catch (error) {
    if (asked === view) tell(error.message);
    if (error.status === undefined) console.error(error);
  }
  if (asked !== view) return;
  document.title = `${view.title} – fedlab`;
  clearTimeout(timer);
  // Nobody looks at a page that is hidden; it asks as soon as it is seen again.
  if (!document.hidden) timer = setTimeout(refresh, pause);
}

function tell(sentence) {
  if (banner.textContent !== sentence) banner.textContent = sentence;
  banner.hidden = !sentence;
}

addEventListener("hashchange", open);
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
open();
