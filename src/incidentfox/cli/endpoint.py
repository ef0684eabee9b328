"""`incidentfox endpoint …`: webhook endpoints and their secrets."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from incidentfox.cli.completion import among, sources
from incidentfox.cli.output import Json, age, print_items, print_object
from incidentfox.cli.session import Session, call
from incidentfox.contracts.page import Page
from incidentfox.contracts.webhooks import CreatedEndpoint, CreateEndpoint, Endpoint, RotateSecret

app = typer.Typer(help="Webhook endpoints: where PagerDuty and others send their events.")

EndpointId = Annotated[str, typer.Argument(help="The endpoint, e.g. whe_01jd….")]
SecretFromStdin = Annotated[
    bool, typer.Option("--secret-from-stdin", help="Use the secret that the sender gave you, read from standard input.")
]


@app.command("list")
def list_endpoints(as_json: Json = False) -> None:
    """List the organisation's endpoints."""

    async def fetch(session: Session) -> Page[Endpoint]:
        return await session.orchestrator.endpoints(session.org_id)

    print_items(
        call(fetch).items,
        (
            ("ENDPOINT", lambda endpoint: endpoint.endpoint_id),
            ("SOURCE", lambda endpoint: endpoint.source),
            ("NAME", lambda endpoint: endpoint.name),
            ("SECRETS", lambda endpoint: len(endpoint.secrets)),
            ("STATE", lambda endpoint: "disabled" if endpoint.disabled_at else "live"),
            ("AGE", lambda endpoint: age(endpoint.created_at)),
        ),
        as_json=as_json,
        empty="No endpoints. Create one with `incidentfox endpoint create --source pagerduty NAME`.",
    )


@app.command("create")
def create_endpoint(
    name: Annotated[str, typer.Argument(help="A name to recognise it by.")],
    source: Annotated[str, typer.Option(help="pagerduty or custom.", autocompletion=among(sources))],
    secret_from_stdin: SecretFromStdin = False,
    as_json: Json = False,
) -> None:
    """Create an endpoint. Its secret is printed once."""
    secret = sys.stdin.read().strip() if secret_from_stdin else None

    async def create(session: Session) -> CreatedEndpoint:
        request = CreateEndpoint(source=source, name=name, secret=secret)
        return await session.orchestrator.create_endpoint(session.org_id, request)

    _print_created(call(create), as_json=as_json)


@app.command("rotate")
def rotate_secret(
    endpoint_id: EndpointId,
    overlap_hours: Annotated[int, typer.Option(min=0, max=720, help="How long the old secrets go on.")] = 24,
    secret_from_stdin: SecretFromStdin = False,
    as_json: Json = False,
) -> None:
    """Add a new secret; the old ones go on for the overlap."""
    secret = sys.stdin.read().strip() if secret_from_stdin else None

    async def rotate(session: Session) -> CreatedEndpoint:
        request = RotateSecret(secret=secret, overlap_s=overlap_hours * 3600)
        return await session.orchestrator.rotate_secret(session.org_id, endpoint_id, request)

    _print_created(call(rotate), as_json=as_json)


@app.command("disable")
def disable_endpoint(endpoint_id: EndpointId, as_json: Json = False) -> None:
    """Shut an endpoint: every delivery to it is refused from then on."""

    async def disable(session: Session) -> Endpoint:
        return await session.orchestrator.disable_endpoint(session.org_id, endpoint_id)

    print_object(call(disable), as_json=as_json)


def _print_created(created: CreatedEndpoint, *, as_json: bool) -> None:
    if as_json:
        print(created.model_dump_json(indent=2))
        return
    print_object(created.endpoint, as_json=False)
    typer.echo(f"\nsecret (shown once): {created.secret}")
