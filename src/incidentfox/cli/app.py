"""The command tree. `incidentfox.__main__` adds what starts and stops things on this machine."""

from __future__ import annotations

import typer

from incidentfox.cli import audit, config, endpoint, evaluate, incident, investigate, node, route, run, secret, token

app = typer.Typer(
    name="incidentfox",
    help="The AI SRE: from a signed alert to a root cause with evidence.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
app.command("investigate")(investigate.investigate)
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(run.app, name="run")
app.add_typer(incident.app, name="incident")
app.add_typer(incident.deliveries, name="delivery")
app.add_typer(endpoint.app, name="endpoint")
app.add_typer(node.app, name="node")
app.add_typer(config.app, name="config")
app.add_typer(secret.app, name="secret")
app.add_typer(token.app, name="token")
app.add_typer(route.app, name="route")
app.add_typer(audit.app, name="audit")
