"""``fedlab deploy``: federations of machines that hold their own data."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from fedlab.cli.help import App
from fedlab.cli.options import ScenarioName, Set, with_rounds

app = App(
    name="deploy",
    help="Federations: a server, and sites that hold their own data.",
    no_args_is_help=True,
)

ServerFile = Annotated[Path, typer.Argument(help="the server's file")]
ServerOption = Annotated[Path, typer.Option("--server", help="the server's file")]
SiteFilePath = Annotated[Path, typer.Argument(help="the site's file")]
Insecure = Annotated[
    bool,
    typer.Option(
        "--insecure", help="no encryption and no keys; for trials, over the loopback address alone"
    ),
]


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="the folder to make, with one for each party")],
    sites: Annotated[str, typer.Option(help="the sites' names, with commas between them")],
    host: Annotated[
        list[str] | None,
        typer.Option(
            help="where sites reach the server: a name or an address; more of them: again"
        ),
    ] = None,
    port: Annotated[int, typer.Option(help="the port that sites reach", min=1, max=65535)] = 8000,
    certificate: Annotated[
        Path | None, typer.Option(help="the server's certificate; default: one is made")
    ] = None,
    private_key: Annotated[
        Path | None, typer.Option("--key", help="the private key of --certificate")
    ] = None,
    ca: Annotated[
        Path | None, typer.Option(help="the certificate of the CA that signed --certificate")
    ] = None,
    with_keys: Annotated[
        bool,
        typer.Option("--with-keys", help="make the sites' keys here, for trials on one machine"),
    ] = False,
) -> None:
    """Make the folders of a new federation's parties: files, certificates, instructions."""
    from fedlab.deploy.init import OwnCertificate, Plan, make_folders

    own = None
    if certificate or private_key or ca:
        if certificate is None or private_key is None or ca is None:
            raise typer.BadParameter("--certificate, --key and --ca are given together")
        own = OwnCertificate(certificate, private_key, ca)
    names = tuple(name.strip() for name in sites.split(",") if name.strip())
    make_folders(folder, Plan(names, tuple(host or ("127.0.0.1",)), port, own, with_keys))
    typer.echo(f"{folder}: a folder for each party; {folder / 'README.md'} says what to do")


@app.command()
def server(path: ServerFile = Path("server.toml"), insecure: Insecure = False) -> None:
    """Run the federation's server until Ctrl-C or SIGTERM."""
    from fedlab.deploy.server import Server
    from fedlab.deploy.settings import load_server

    settings = load_server(path)
    party = Server(settings, insecure)
    sites = ", ".join(party.keys) or ("any" if insecure else "none yet")
    where = f"{settings.host}:{settings.port}"
    party.run(lambda: _say(f"Serving sites on {where} (sites: {sites}); Ctrl-C ends"))


@app.command()
def site(path: SiteFilePath, insecure: Insecure = False) -> None:
    """Take part in a federation until Ctrl-C or SIGTERM."""
    from fedlab.deploy.keys import make_key, public_path
    from fedlab.deploy.settings import load_site
    from fedlab.deploy.site import Site

    file = load_site(path)
    private = Path(file.server.key)
    if not insecure and not private.exists():
        make_key(private, file.name)
        _say(f"Made this site's key; its public key, for the server: {public_path(private)}")
    party = Site(file, insecure, _say)
    _say(f"Site '{file.name}' takes part at {file.server.address}; Ctrl-C ends")
    party.run()


@app.command()
def key(path: SiteFilePath) -> None:
    """Make a site's key, and print where its public key is, which goes to the server."""
    from fedlab.deploy.keys import make_key
    from fedlab.deploy.settings import load_site

    file = load_site(path)
    public = make_key(Path(file.server.key), file.name)
    typer.echo(f"{public}: goes to the server's folder 'sites' as {file.name}.pub")


@app.command()
def inspect(
    path: SiteFilePath,
    scenario: Annotated[
        str | None,
        typer.Argument(help="a scenario's name or file; default: what any may be told"),
    ] = None,
) -> None:
    """Show all that would leave a site for a scenario, as it would be sent; nothing is."""
    import json

    from fedlab.engine.worker.introduction import what_leaves
    from fedlab.scenario import dumps, load

    text = None if scenario is None else dumps(load(scenario))
    typer.echo(json.dumps(what_leaves(path, text), indent=1, ensure_ascii=False))


@app.command()
def run(
    scenario: ScenarioName,
    server: ServerOption = Path("server.toml"),
    rounds: Annotated[int | None, typer.Option(help="rounds, in place of the scenario's")] = None,
    overrides: Set = None,
    name: Annotated[
        str | None, typer.Option(help="the run folder's name; default: the scenario's and the time")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="SCENARIO is a run folder; go on there")
    ] = False,
) -> None:
    """Submit a scenario to the server of this machine, and show its log until it ends."""
    from fedlab.deploy.settings import load_server
    from fedlab.deploy.submit import configuration_of, resumed, submit

    settings = load_server(server)
    changes = with_rounds(overrides, rounds)
    if resume:
        configuration = resumed(Path(scenario), changes)
    else:
        configuration = configuration_of(settings, scenario, changes, name)
    raise typer.Exit(submit(settings, configuration, _write, _say))


@app.command()
def stop(
    number: Annotated[int, typer.Argument(metavar="RUN", help="the run, as 'status' shows it")],
    server: ServerOption = Path("server.toml"),
    now: Annotated[
        bool, typer.Option("--now", help="do not wait for the end of the round")
    ] = False,
) -> None:
    """End a run after its round."""
    from fedlab.deploy.settings import load_server
    from fedlab.deploy.submit import end_run

    end_run(load_server(server), number, now)


@app.command()
def status(server: ServerFile = Path("server.toml")) -> None:
    """Show the sites and the newest runs of the server of this machine."""
    from fedlab.deploy.settings import load_server
    from fedlab.deploy.submit import control_of, outcome_of

    with control_of(load_server(server)) as control:
        for found in control.sites():
            is_there = "online" if found.is_online else "offline"
            typer.echo(f"site  {found.name or found.node}  {is_there}")
        for status in control.runs():
            typer.echo(f"run   {status.run}  {outcome_of(status)}  {status.began}")


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
