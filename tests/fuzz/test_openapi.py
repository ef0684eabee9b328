"""Every operation of every service's OpenAPI document, called with whatever the document allows and with what it does
not: no answer is a 5xx, and none differs from the document.

Few and always the same calls here; `make fuzz` makes many and different ones (`FUZZ_EXAMPLES`).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import anyio.to_thread
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.acceptance.product import TEAM, Product, running_product
from tests.house.test_openapi import SERVICES

from incidentfox.contracts.permissions import SERVICE_PERMISSIONS, Permission
from incidentfox.kernel.identity import ServiceIdentity

pytestmark = pytest.mark.anyio

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
IN_THE_SUITE = 3
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
WOULD_END_THE_TEST = {
    "DELETE /api/v1/me/token",  # revokes what the calls are made with
}
WAIT_S = 30
MOST_OF_A_URL = 64 * 1024


@pytest.fixture(scope="module")
async def product(anyio_backend: str) -> AsyncIterator[Product]:
    async with running_product() as product:
        yield product


@dataclass
class Caller:
    """Makes the calls of one service's document."""

    product: Product
    service: str
    document: dict[str, Any]
    org_id: str
    token: str | None
    statuses: Counter[int] = field(default_factory=Counter)
    unauthenticated: list[str] = field(default_factory=list)

    def operations(self) -> Iterator[Any]:
        """Every operation of the document that the service serves."""
        schema = schemathesis.openapi.from_dict(_without_security(self.document))
        schema.config.update(base_url=self.product.url(self.service))
        for result in schema.get_all_operations():
            operation = result.ok()
            if operation.label not in WOULD_END_THE_TEST:
                yield operation

    def cases(self, operation: Any) -> Any:
        """What the document allows, what it does not, and both at places that are really there."""
        here = {"org_id": self.org_id, "node_id": TEAM}
        wanted = {name: here[name] for name in here if f"{{{name}}}" in operation.path}
        modes = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
        found = [operation.as_strategy(generation_mode=mode) for mode in modes]
        if operation.method.upper() != "DELETE":
            found += [strategy.map(lambda case: _at(case, wanted)) for strategy in found]
        return st.one_of(*found)

    def judge(self, operation: Any, case: Any) -> None:
        """Calls, and raises for an answer that may not be."""
        permission = operation.definition.raw.get("x-permission")
        case.headers = {name: value for name, value in (case.headers or {}).items() if name.lower() != "authorization"}
        if self.token is not None and permission is not None:
            case.headers["Authorization"] = f"Bearer {self._credential(operation.path, Permission(permission))}"
        response = case.call(timeout=WAIT_S)
        if response.status_code == 400 and len(str(response.request.url)) > MOST_OF_A_URL:
            return  # the HTTP server refuses such a request line by itself: it never reaches the service
        self.statuses[response.status_code] += 1
        if response.status_code == 401:
            self.unauthenticated.append(f"{operation.label}: {response.text}")
        assert response.status_code < 500, response.text
        if self.token is None and permission is not None:
            assert response.status_code in (400, 401, 404, 405, 411, 413), response.text
        case.validate_response(response, checks=CHECKS)

    def _credential(self, path: str, permission: Permission) -> str:
        if not path.startswith("/api/v1/internal") and permission is not Permission.RUNS_EXECUTE:
            return self.token or ""
        name = next(name for name, granted in SERVICE_PERMISSIONS.items() if permission in granted)
        keys = self.product.stack.keys.services[name]
        identity = ServiceIdentity(name, dict(keys.private_jwk))
        return identity.token(self.service, frozenset({permission}), self.org_id, None)


def _without_security(document: dict[str, Any]) -> dict[str, Any]:
    """The document with no word of credentials: `judge` alone decides which calls carry one, or the header would be
    left out now and then as one more thing that the document does not allow."""
    paths = {
        path: {name: {key: item[key] for key in item if key != "security"} for name, item in operations.items()}
        for path, operations in document["paths"].items()
    }
    return {**document, "paths": paths, "security": []}


def _at(case: Any, place: dict[str, str]) -> Any:
    case.path_parameters = {**(case.path_parameters or {}), **place}
    return case


def fuzz(caller: Caller) -> list[str]:
    """What is wrong, as one text for each operation."""
    wrong: list[str] = []
    for operation in caller.operations():
        try:
            _check(caller, operation)()
        except (AssertionError, BaseExceptionGroup, OSError) as error:
            wrong.append(f"{operation.label}: {error!r}"[:3000])
    return wrong


def _check(caller: Caller, operation: Any) -> Callable[[], None]:
    @settings(
        max_examples=EXAMPLES or IN_THE_SUITE,
        derandomize=not EXAMPLES,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(case=caller.cases(operation))
    def check(case: Any) -> None:
        caller.judge(operation, case)

    return check


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("authenticated", [True, False], ids=["with a credential", "without"])
async def test_no_answer_is_a_5xx_or_differs_from_the_document(
    product: Product, service: str, authenticated: bool
) -> None:
    tenant = await product.tenant()
    document = (await product.http.get(f"{product.url(service)}/openapi.json")).json()
    caller = Caller(product, service, document, tenant.org_id, tenant.token if authenticated else None)
    wrong = await anyio.to_thread.run_sync(fuzz, caller)
    assert not wrong, "\n\n".join(wrong)
    if authenticated:  # otherwise the calls never came past the door
        assert not caller.unauthenticated
        assert any(status < 300 or service == "agent" for status in caller.statuses)  # no run is there to be executed
