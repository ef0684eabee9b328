"""Each service's OpenAPI document: valid 3.1, and true about credentials and errors."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from tests.environment import Trusted
from tests.house.services import build, routes_of

from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.problem import MEDIA_TYPE
from incidentfox.kernel.web.openapi import openapi_document, permission_of

SERVICES = ("config-service", "orchestrator", "agent")


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, found in document["paths"].items()
        for method, operation in found.items()
    }


@pytest.mark.parametrize("service", SERVICES)
def test_the_document_is_valid_and_every_schema_resolves(service: str, trusted: Trusted) -> None:
    document = openapi_document(build(service, trusted))
    assert document["openapi"].startswith("3.1")
    schema = schemathesis.openapi.from_dict(document)
    schema.validate()
    found = [result.ok() for result in schema.get_all_operations()]
    assert len(found) == len(operations(document)) > 0


@pytest.mark.parametrize("service", SERVICES)
def test_every_operation_names_its_credential_its_permission_and_its_errors(service: str, trusted: Trusted) -> None:
    app = build(service, trusted)
    declared = {
        f"{method} {route.path.replace(':path', '')}": permission_of(route)
        for route in routes_of(app)
        for method in (route.methods or ())
    }
    for name, operation in operations(openapi_document(app)).items():
        public = declared[name] is Permission.PUBLIC
        assert operation.get("security") == (None if public else [{"bearer": []}]), name
        assert operation.get("x-permission") == (None if public else declared[name]), name
        assert operation["description"], name
        assert operation["tags"], name
        assert "422" not in operation["responses"], name
        for status in ("4XX", "5XX"):
            assert MEDIA_TYPE in operation["responses"][status]["content"], name


def test_a_reader_finds_nothing_of_the_frameworks_own_errors(trusted: Trusted) -> None:
    for service in SERVICES:
        assert "HTTPValidationError" not in str(openapi_document(build(service, trusted)))
