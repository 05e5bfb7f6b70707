"""What the page asks for: the list of runs, a run, a round of it, a comparison."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from fedlab import files
from fedlab.errors import FedlabError, one_line
from fedlab.files import without_home
from fedlab.results.reading import RunRecord
from fedlab.results.sweep_folder import SweepFile, read_sweep
from fedlab.run.lock import is_written
from fedlab.ui.comparing import compare
from fedlab.ui.folders import Found, check_without_links, find, shown
from fedlab.ui.outline import Outlines
from fedlab.ui.overview import overview, partition_of, shown_file
from fedlab.ui.rounds import round_of
from fedlab.ui.series import columns
from fedlab.ui.watching import WatchedRuns

MOST_COMPARED = 200
"""Runs that are compared at once."""


class NotThere(FedlabError):
    """A run that is asked for is not, or no longer, in the folder."""


class View:
    """The runs below a folder. Answers are made one at a time.

    Args:
        root: The folder.

    Raises:
        FedlabError: If there is no such folder.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise FedlabError(f"there is no folder {root}")
        self._root = root.resolve()
        self._lock = threading.RLock()
        self._outlines = Outlines()
        self._watched = WatchedRuns()
        self._found = Found()
        self._compared: tuple[list[RunRecord], list[str], dict[str, Any] | None] = ([], [], None)

    def runs(self) -> dict[str, Any]:
        """Return all runs and sweeps, newest first."""
        with self._lock:
            found = self._found = find(self._root)
            sweeps = {name: _sweep(name, path, self._root) for name, path in found.sweeps.items()}
            rows = [self._row(name, path, found) for name, path in found.runs.items()]
            self._outlines.keep(set(found.runs.values()))
            rows.sort(key=lambda row: (row["started"], row["name"]), reverse=True)
            for row in rows:
                sweep = sweeps.get(row["sweep"])
                if sweep is not None:
                    row["setting"] = sweep["settings"].get(row["name"], "")
                    sweep["begun"] += 1
                    sweep["running"] += row["state"] == "running"
                    sweep["ended"] += row["state"] in ("finished", "stopped", "failed")
            for sweep in sweeps.values():
                del sweep["settings"]
            return {
                "folder": one_line(shown(without_home(str(self._root))), 400),
                "runs": rows,
                "sweeps": list(sweeps.values()),
                "notes": _notes(found),
            }

    def run(self, name: str) -> dict[str, Any]:
        """Return a run as a whole.

        Raises:
            FedlabError: If it is not there, or damaged.
        """
        with self._lock:
            path = self._path(name)
            self._watched.record(path)
            return {"id": name, **overview(self._watched.at(path), is_written(path))}

    def columns(self, name: str, begin: int, generation: int) -> dict[str, Any]:
        """Return a run's figures from the ``begin``-th round on; all, if its lines are others now.

        Raises:
            FedlabError: If it is not there, or damaged.
        """
        with self._lock:
            record = self._record(name)
            now = self._watched.at(record.path).generation
            if generation != now or begin > len(record.rounds):
                begin = 0
            return {"generation": now, **columns(record, begin)}

    def round(self, name: str, number: int) -> dict[str, Any]:
        """Return a round of a run.

        Raises:
            FedlabError: If it is not there, or damaged.
        """
        with self._lock:
            return round_of(self._record(name), number)

    def partition(self, name: str) -> dict[str, Any]:
        """Return who holds what in a run.

        Raises:
            FedlabError: If the run is not there, or damaged.
        """
        with self._lock:
            return partition_of(self._record(name))

    def comparison(self, names: list[str]) -> dict[str, Any]:
        """Return runs and the runs of sweeps side by side.

        Raises:
            FedlabError: If they cannot be compared.
        """
        with self._lock:
            found = find(self._root)
            chosen: dict[str, Path] = {}
            for name in dict.fromkeys(names):
                if name in found.sweeps:
                    chosen |= _below(name, found)
                elif name in found.runs:
                    chosen[name] = found.runs[name]
                else:
                    raise NotThere(_gone(name))
            if len(chosen) > MOST_COMPARED:
                raise FedlabError(
                    f"{len(chosen)} runs are too many to compare here, where {MOST_COMPARED} are "
                    "the most; 'fedlab compare' takes any number"
                )
            records, left_out = [], []
            for path in chosen.values():
                try:
                    records.append(self._watched.record(path))
                except FedlabError as error:
                    left_out.append(f"left out: {one_line(str(error), 400)}")
            before, omitted, answer = self._compared
            is_same = omitted == left_out and list(map(id, before)) == list(map(id, records))
            if answer is None or not is_same:
                answer = compare(records, left_out)
                self._compared = (records, left_out, answer)
            return answer

    def file(self, name: str, file: str) -> bytes:
        """Return the content of a file of a run that the page links to.

        Raises:
            FedlabError: If it is none of these, or not there.
        """
        with self._lock:
            path = self._path(name)
            check_without_links(path)
            return shown_file(path, file)

    def _record(self, name: str) -> RunRecord:
        return self._watched.record(self._path(name))

    def _path(self, name: str) -> Path:
        """Return a run's folder. Only names that the folder was found to hold lead anywhere."""
        path = self._found.runs.get(name)
        # What was found is looked for again where it has gone, or a link has come in its place.
        if path is None or path.resolve() != path or not (path / files.SCENARIO).is_file():
            self._found = find(self._root)
            path = self._found.runs.get(name)
        if path is None:
            raise NotThere(_gone(name))
        return path

    def _row(self, name: str, path: Path, found: Found) -> dict[str, Any]:
        above = name.rpartition(f"/{files.SWEEP_RUNS}/")[0] or (
            "." if name.startswith(f"{files.SWEEP_RUNS}/") else ""
        )
        sweep = above if above in found.sweeps else ""
        return {**self._outlines.of(name, path).as_json(), "sweep": sweep, "setting": ""}


def _below(sweep: str, found: Found) -> dict[str, Path]:
    """Return the runs of a sweep that have begun to be measured."""
    start = f"{files.SWEEP_RUNS}/" if sweep == "." else f"{sweep}/{files.SWEEP_RUNS}/"
    return {
        name: path
        for name, path in found.runs.items()
        if name.startswith(start) and (path / files.METRICS).is_file()
    }


def _sweep(name: str, path: Path, root: Path) -> dict[str, Any]:
    try:
        check_without_links(path)
        content, problem = read_sweep(path), ""
    except FedlabError as error:
        content, problem = SweepFile(), one_line(str(error), 400)
    return {
        "id": name,
        "name": one_line(shown(path.name), 200),
        "scenario": one_line(content.scenario, 200),
        "members": len(content.members),
        "settings": {member.run: one_line(member.setting, 200) for member in content.members},
        "problem": problem,
        "begun": 0,
        "running": 0,
        "ended": 0,
    }


def _gone(name: str) -> str:
    return f"there is no run '{one_line(name, 200)}' in this folder (any more)"


def _notes(found: Found) -> list[str]:
    notes = []
    if found.links:
        notes.append(
            f"{found.links} link{'s' if found.links > 1 else ''} to other folders not followed: "
            "'fedlab ui FOLDER' shows what they lead to"
        )
    if found.is_cut:
        notes.append("this folder has more folders than are looked into; name one further down")
    return notes
