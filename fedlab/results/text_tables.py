"""Tables as Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "−": "$-$",
    "–": "--",
    "∞": r"$\infty$",
    "\u00a0": "~",
}


@dataclass(frozen=True)
class TextTable:
    """A table of texts.

    Attributes:
        title: What it shows.
        headers: Of its columns.
        rows: Its cells.
        texts: How many of its first columns are no numbers; the others stand to the right.
        sources: A line for each row that says which files it is made from.
    """

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: int = 1
    sources: Sequence[str] = field(default_factory=tuple)

    def markdown(self) -> str:
        """Return it as Markdown, its title and sources included."""
        numbers = len(self.headers) - self.texts
        lines = [self.headers, [*["---"] * self.texts, *["---:"] * numbers], *self.rows]
        cells = [[cell.replace("|", r"\|") for cell in line] for line in lines]
        table = "".join(f"| {' | '.join(line)} |\n" for line in cells)
        sources = "".join(f"- {source}\n" for source in self.sources)
        return f"{self.title}\n\n{table}" + (f"\n{sources}" if sources else "")

    def latex(self) -> str:
        """Return it as LaTeX for the package booktabs; sources stand in comments."""
        columns = "l" * self.texts + "r" * (len(self.headers) - self.texts)
        body = "".join(_latex_row(row) for row in self.rows)
        comments = "".join(f"% {' '.join(source.split())}\n" for source in self.sources)
        return (
            f"% {' '.join(self.title.split())}\n{comments}\\begin{{tabular}}{{{columns}}}\n"
            f"\\toprule\n{_latex_row(self.headers)}\\midrule\n{body}\\bottomrule\n"
            "\\end{tabular}\n"
        )

    def csv(self) -> str:
        """Return its cells as CSV, as they are shown."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        for row in (self.headers, *self.rows):
            writer.writerow([cell.replace("\u00a0", " ") for cell in row])
        return buffer.getvalue()


def _latex_row(cells: Sequence[str]) -> str:
    row = " & ".join(map(_latex_text, cells)) + " \\\\\n"
    # After the end of a row both would be an argument of it.
    return f"{{{row[0]}}}{row[1:]}" if row.startswith(("[", "*")) else row


def _latex_text(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)
