"""A report written by a process of its own, which makes itself ready while the last rounds run.

To import matplotlib and to find its fonts takes longer than to draw a small run's report; another
core can do it meanwhile. ``python -m fedlab.results.report.process`` reads the path of a run folder
from its standard input, and answers with a line of JSON.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fedlab.errors import FedlabError
from fedlab.files import REPORT

if TYPE_CHECKING:
    from fedlab.results.report.page import Drawn
    from fedlab.results.report.sections import Picture

WRITTEN, ERROR = "written", "error"


class ReportProcess:
    """The process; it ends with this one, or when it has written a report."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Let the process make itself ready, unless it is under way, or would be of no use.

        With one core it would hold up the rounds; where matplotlib is imported here, there is
        nothing to be gained.
        """
        if self._process is not None or "matplotlib" in sys.modules or _cores() < 2:
            return
        with suppress(OSError):
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
                errors="surrogateescape",
                # Ctrl-C in the terminal stops the run after a round; its report is still written.
                start_new_session=True,
            )

    def write(self, path: Path) -> Path:
        """Write the report of the run folder at ``path``; return its file.

        Raises:
            FedlabError: As :func:`fedlab.results.report.page.write_report` does.
        """
        answer = self._ask(path)
        if ERROR in answer:
            raise FedlabError(answer[ERROR])
        if WRITTEN in answer:
            return path / REPORT
        from fedlab.results.report.page import write_report

        return write_report(path)

    def _ask(self, path: Path) -> dict[str, str]:
        """Return the process's answer; nothing if there is no process, or it has failed."""
        if self._process is None:
            return {}
        process, self._process = self._process, None
        with process, suppress(OSError, ValueError):
            said, _ = process.communicate(json.dumps(str(path.absolute())))
            answer = json.loads(said)
            return answer if isinstance(answer, dict) else {}
        return {}

    def close(self) -> None:
        """End the process, if it has not been asked for a report."""
        if self._process is not None:
            process, self._process = self._process, None
            with process, suppress(OSError):
                process.kill()


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # neither macOS nor Windows has it
        return os.cpu_count() or 1


def _draw_beside(pictures: Sequence[Picture]) -> list[Drawn]:
    """Draw pictures, where this process can be doubled: every second one in another process.

    This one has a single thread, and nothing that a copy of it could damage.
    """
    from fedlab.results.report.page import draw_each

    if sys.platform != "linux" or len(pictures) < 2:
        return draw_each(pictures)
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    other = context.Process(target=lambda: sender.send(draw_each(pictures[1::2])))
    other.start()
    sender.close()
    own = draw_each(pictures[::2])
    theirs = receiver.recv()
    other.join()
    found = [*own, *theirs]
    found[::2], found[1::2] = own, theirs
    return found


def main() -> None:
    """Make this process ready, and write the report that it is asked for, if it is."""
    from fedlab.results.drawing import style
    from fedlab.results.report.page import write_report

    figure, (axes,) = style.new_figure()
    axes.plot([0, 1], [0, 1], label="0")
    style.legend(axes)
    style.inline_svg(figure, "ready", "ready")
    style.png_bytes(figure)
    asked = sys.stdin.read()
    if not asked:
        return
    try:
        answer = {WRITTEN: str(write_report(Path(json.loads(asked)), draw=_draw_beside))}
    except FedlabError as error:
        answer = {ERROR: str(error)}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
