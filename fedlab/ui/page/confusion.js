// The confusion matrix of the final weights.

import { Heat } from "./heat.js";
import { card, element } from "./page.js";
import { textTable } from "./tables.js";

/** Return the card of a confusion matrix, and what has to be removed with it. */
export function confusionOf({ lead, labels, matrix, classes }) {
  const totals = matrix.map((row) => Math.max(1, row.reduce((sum, value) => sum + value, 0)));
  const heat = new Heat({
    label: `Confusion matrix; ${lead}`,
    hint: "A row is a true class, a column what it was taken for. Point at a cell to read it.",
    rows: labels.length,
    columns: labels.length,
    rowNames: labels,
    columnNames: labels,
    share: (row, column) => matrix[row][column] / totals[row],
    number: (row, column) => matrix[row][column],
    said: (row, column) => (row === null ? `taken for ${labels[column]}` : `${labels[row]} taken for ${labels[column]}: ${matrix[row][column].toLocaleString("en")} of ${totals[row].toLocaleString("en")}`),
  });
  const section = card("Confusion", element("p", { class: "lead" }, `${lead} Final weights, server's test set.`),
    element("div", { class: "beside" }, heat.host, textTable(classes)));
  return { section, remove: () => heat.remove() };
}
