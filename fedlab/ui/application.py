"""The addresses: the page's own files, JSON answers, and files of runs. Everything is read only."""

from __future__ import annotations

import hashlib
import mimetypes
import sys
from collections.abc import Callable
from importlib.resources import files as resources
from pathlib import PurePosixPath
from typing import Any

from pydantic_core import to_json
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fedlab.errors import FedlabError, described
from fedlab.ui.view import NotThere, View

_SCRIPTS = ("main", "page", "answers", "runs", "run", "rounds", "compare")
_DRAWING = ("charts", "heat", "partition", "confusion", "tables")
PAGE = (
    *("index.html", "style.css", "icon.svg", *(f"{name}.js" for name in (*_SCRIPTS, *_DRAWING))),
    *("uplot/uPlot.esm.js", "uplot/uPlot.min.css", "uplot/LICENSE"),
)
"""The files of the page; nothing else of the package is served."""
FILE_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""A report may be a stranger's: it is shown without scripts, and apart from the page."""
_TYPES = {".html": "text/html; charset=utf-8", ".png": "image/png"}

Answer = Callable[[Request], dict[str, Any]]


def application(view: View) -> Starlette:
    """Return the application over the runs of a view."""

    def runs(request: Request) -> dict[str, Any]:
        return view.runs()

    def run(request: Request) -> dict[str, Any]:
        return view.run(_word(request, "run"))

    def columns(request: Request) -> dict[str, Any]:
        begin, generation = _number(request, "begin"), _number(request, "generation")
        return view.columns(_word(request, "run"), begin, generation)

    def a_round(request: Request) -> dict[str, Any]:
        return view.round(_word(request, "run"), _number(request, "round"))

    def partition(request: Request) -> dict[str, Any]:
        return view.partition(_word(request, "run"))

    def compare(request: Request) -> dict[str, Any]:
        return view.comparison(request.query_params.getlist("run"))

    answers: dict[str, Answer] = {
        "runs": runs,
        "run": run,
        "columns": columns,
        "round": a_round,
        "partition": partition,
        "compare": compare,
    }
    routes = [Route(f"/api/{name}", _json(answer)) for name, answer in answers.items()]
    routes.append(Route("/file", _file(view)))
    routes += [Route("/", _own("index.html")), Route("/favicon.ico", _own("icon.svg"))]
    routes += [Route(f"/{name}", _own(name)) for name in PAGE]
    return Starlette(routes=routes)


def _json(answer: Answer) -> Callable[[Request], Response]:
    """Return what answers with JSON, and with nothing where the page has the same already."""

    def endpoint(request: Request) -> Response:
        status, content = _outcome(lambda: answer(request))
        body = to_json(content, inf_nan_mode="null")
        tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
        if status == 200 and request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers={"ETag": tag})
        return Response(body, status, {"ETag": tag}, "application/json")

    return endpoint


def _outcome(answer: Callable[[], dict[str, Any]]) -> tuple[int, dict[str, Any]]:
    """Return the status and content of an answer; what goes wrong is one sentence."""
    try:
        return 200, answer()
    except NotThere as error:
        return 404, {"error": str(error)}
    except FedlabError as error:
        return 422, {"error": str(error)}
    except Exception as error:
        sentence = described(error)
        print(f"error: an answer of the live view failed: {sentence}", file=sys.stderr)
        return 500, {"error": f"this is a fault of fedlab: {sentence}"}


def _file(view: View) -> Callable[[Request], Response]:
    """Return what answers with a file of a run."""

    def endpoint(request: Request) -> Response:
        name = request.query_params.get("name", "")
        status, content = _outcome(
            lambda: {"bytes": view.file(request.query_params.get("run", ""), name)}
        )
        if status != 200:
            return Response(f"{content['error']}\n", status, media_type="text/plain")
        kind = _TYPES.get(PurePosixPath(name).suffix, "text/plain; charset=utf-8")
        policy = {"Content-Security-Policy": FILE_POLICY}
        return Response(content["bytes"], headers=policy, media_type=kind)

    return endpoint


def _own(name: str) -> Callable[[Request], Response]:
    """Return what answers with a file of the page."""

    def endpoint(request: Request) -> Response:
        content = resources("fedlab.ui").joinpath("page", *name.split("/")).read_bytes()
        kind = mimetypes.guess_type(name)[0] or "text/plain"
        return Response(content, media_type="text/javascript" if name.endswith(".js") else kind)

    return endpoint


def _word(request: Request, key: str) -> str:
    return request.query_params.get(key, "")


def _number(request: Request, key: str) -> int:
    text = request.query_params.get(key, "0")
    if not text.isdecimal() or len(text) > 12:
        raise FedlabError(f"{key}: a whole number belongs here")
    return int(text)
