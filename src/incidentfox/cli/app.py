"""The command tree. `incidentfox.__main__` adds what starts and stops things on this machine."""

from __future__ import annotations

import typer

from incidentfox.cli.nouns import Noun, group_of

NOUNS = {
    "investigate": Noun(
        "incidentfox.cli.investigate", "Investigate a recorded incident, and print the answer.", "investigate"
    ),
    "evaluate": Noun("incidentfox.cli.evaluate", "Investigate recorded incidents and score the answers."),
    "run": Noun("incidentfox.cli.run", "Investigations: what was found, on what evidence, and where it was posted."),
    "incident": Noun("incidentfox.cli.incident", "Incidents, as their sources tell them."),
    "delivery": Noun(
        "incidentfox.cli.incident", "Accepted webhook deliveries and what became of them.", attribute="deliveries"
    ),
    "endpoint": Noun("incidentfox.cli.endpoint", "Webhook endpoints: where PagerDuty and others send their events."),
    "node": Noun("incidentfox.cli.node", "Units and teams of the organisation."),
    "config": Noun(
        "incidentfox.cli.config", "Configuration: agents, prompts, tools, integrations, routing, destinations."
    ),
    "change-request": Noun(
        "incidentfox.cli.change_request", "Changes of configuration that somebody else has to approve."
    ),
    "secret": Noun("incidentfox.cli.secret", 'Secrets of a node; configuration refers to them as {"$secret": "name"}.'),
    "budget": Noun("incidentfox.cli.budget", "Limits on what a team's models may cost, and today's use of them."),
    "token": Noun("incidentfox.cli.token", "Bearer tokens of teams and organisation admins."),
    "route": Noun("incidentfox.cli.route", "Routing of events to teams."),
    "audit": Noun(
        "incidentfox.cli.audit", "The append-only audit events of the organisation, and the chain that proves them."
    ),
}
"""The nouns in the order of the help."""

app = typer.Typer(
    name="incidentfox",
    cls=group_of(NOUNS),
    help="The AI SRE: from a signed alert to a root cause with evidence.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)


@app.callback()
def _root() -> None:
    """Makes the tree a group by itself, whether or not anything is added to it."""
