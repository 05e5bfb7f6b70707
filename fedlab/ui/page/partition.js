// Who holds what: each client's size above its shares of the classes, as in the report.

import { ask } from "./answers.js";
import { Heat } from "./heat.js";
import { card, element } from "./page.js";
import { SortedTable } from "./tables.js";

const SORTED_FROM = 60;
const NAMES_UP_TO = 40;

/** Return the card of a run's partition and what has to be removed with it; null without one. */
export async function partitionOf(run) {
  const { content: found } = await ask("partition", { run });
  if (!found.sizes) return null;
  const { sizes, counts, labels, names, every } = found;
  const order = ordered(sizes, counts);
  const who = (place) => `client ${place * every}${names[place] ? ` (${names[place]})` : ""}`;
  const classOf = (row) => labels[row] ?? `class ${row}`;
  const heat = new Heat({
    label: `Who holds what: ${found.lead}`,
    hint: "Point at a client to read its numbers; the table below has them, too.",
    rows: counts ? counts[0].length : 0,
    columns: sizes.length,
    rowNames: counts ? counts[0].map((_, row) => classOf(row)) : [],
    columnNames: order.map((place) => (names.length && sizes.length <= NAMES_UP_TO ? names[place] : place * every)),
    bars: order.map((place) => sizes[place]),
    share: (row, column) => counts[order[column]][row] / Math.max(1, total(counts[order[column]])),
    number: (row, column) => counts[order[column]][row],
    said: (row, column) => {
      const place = order[column];
      const all = `${who(place)}: ${sizes[place].toLocaleString("en")} examples`;
      return row === null || !counts ? all : `${all}, ${counts[place][row].toLocaleString("en")} of them ${classOf(row)}`;
    },
  });
  const table = new SortedTable("Examples of each client");
  const columns = [{ label: "client", kind: "count" }, ...(names.length ? [{ label: "name", kind: "text" }] : []), { label: "examples", kind: "count" }, ...(counts ? counts[0].map((_, row) => ({ label: classOf(row), kind: "count" })) : [])];
  const details = element("details", {
    ontoggle: () => {
      if (!table.rows.length) table.set(columns, sizes.map((size, place) => [place * every, ...(names.length ? [names[place]] : []), size, ...(counts ? counts[place] : [])]));
    },
  }, element("summary", {}, "As a table"), table.host);
  const sortedBy = sizes.length > SORTED_FROM ? ` Sorted by ${counts ? "the class they hold most of, then by " : ""}size.` : "";
  return { section: card("Partition", element("p", { class: "lead" }, found.lead + sortedBy), heat.host, details), remove: () => heat.remove() };
}

function ordered(sizes, counts) {
  const places = sizes.map((_, place) => place);
  if (sizes.length <= SORTED_FROM) return places;
  const main = counts?.map((row) => row.indexOf(Math.max(...row)));
  return places.sort((a, b) => (main ? main[a] - main[b] : 0) || sizes[b] - sizes[a]);
}

function total(row) {
  return row.reduce((sum, value) => sum + value, 0);
}
