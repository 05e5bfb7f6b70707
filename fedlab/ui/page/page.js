// Elements and texts. Names come from files that anyone may have written: they are only ever text.

/** Return an element. Children that are no elements are text; null and false are left out. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && typeof value !== "string") made[name] = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  append(made, children);
  return made;
}

/** Put children into an element, in place of what it has. */
export function fill(parent, ...children) {
  parent.replaceChildren();
  append(parent, children);
  return parent;
}

function append(parent, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    parent.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** Return a heading and what stands below it as a card. */
export function card(title, ...children) {
  return element("section", { class: "card" }, element("h2", {}, title), children);
}

/** Return the address of a view within the page. */
export function address(view, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const each of [value].flat()) query.append(name, each);
  }
  const text = query.toString();
  return `#/${view}${text ? `?${text}` : ""}`;
}

/** Return the path of a run below the folder, of which its identifier is made. */
export function nameOf(id) {
  try {
    return decodeURIComponent(id ?? "");
  } catch {
    return id;
  }
}

/** Return a run's state as a badge. */
export function badge(state) {
  return element("span", { class: `badge ${state}` }, state);
}

const NBSP = "\u00a0";

/** Return a value as text, by its kind: fraction, number, count, seconds, bytes or text. */
export function shown(value, kind) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  if (kind === "fraction") return `${(100 * value).toFixed(1)}${NBSP}%`;
  if (kind === "count") return value.toLocaleString("en");
  if (kind === "seconds") return seconds(value);
  if (kind === "bytes") return bytes(value);
  if (value !== 0 && (Math.abs(value) >= 1e6 || Math.abs(value) < 1e-4)) return value.toExponential(2);
  return String(Number(value.toPrecision(4)));
}

function bytes(count) {
  for (const [unit, size] of [["TB", 1e12], ["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
    if (count >= size) return `${Number((count / size).toPrecision(3))}${NBSP}${unit}`;
  }
  return `${Math.round(count)}${NBSP}B`;
}

function seconds(value) {
  if (value === 0) return `0${NBSP}s`;
  if (value < 0.1) return `${Number((1000 * value).toPrecision(3))}${NBSP}ms`;
  if (value < 100) return `${Number(value.toPrecision(3))}${NBSP}s`;
  const minutes = Math.floor(value / 60);
  if (minutes < 100) return `${minutes}${NBSP}min ${Math.round(value % 60)}${NBSP}s`;
  return `${Math.floor(minutes / 60)}${NBSP}h ${minutes % 60}${NBSP}min`;
}

/** Return how long ago a time was, in words. */
export function ago(iso) {
  const passed = (Date.now() - new Date(iso).getTime()) / 1000;
  if (Number.isNaN(passed)) return iso;
  if (passed < 60) return "just now";
  for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    const count = Math.floor(passed / size);
    if (count >= 1) return count > 30 && unit === "day" ? iso.slice(0, 10) : `${count}${NBSP}${unit}${count > 1 ? "s" : ""} ago`;
  }
  return iso;
}

/** Return a labelled select; `choices` are pairs of value and text. */
export function select(label, choices, value, changed) {
  const made = element("select", { onchange: (event) => changed(event.target.value) },
    choices.map(([key, text]) => element("option", { value: key, selected: key === value }, text)));
  return element("label", { class: "field" }, element("span", {}, label), made);
}

/** Return a labelled box to tick. */
export function tick(label, value, changed) {
  const made = element("input", { type: "checkbox", checked: value, onchange: (event) => changed(event.target.checked) });
  return element("label", { class: "tick" }, made, label);
}
