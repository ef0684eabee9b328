"""A service's OpenAPI 3.1 document: what FastAPI derives from the routes, with the errors that they really answer.

Every operation names the credential and the permission that it needs, and every failure is a problem (RFC 9457). The
framework's own form of validation errors, which no service of ours sends, is taken out. The examples are those of the
service's story (`examples.py`).
"""

from __future__ import annotations

import re
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import iter_route_contexts

from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.problem import MEDIA_TYPE, FieldError, Problem
from incidentfox.kernel.web.examples import StoryMaker, show_examples

_REFERENCE = "#/components/schemas/{model}"
_SCHEME = "bearer"
_CREDENTIAL = {
    "type": "http",
    "scheme": "bearer",
    "description": "A token of a person or an outside system, or the signed token of a service.",
}
_PROBLEM = {
    "description": "A problem: `code` says which, `detail` what to do next.",
    "content": {MEDIA_TYPE: {"schema": {"$ref": _REFERENCE.format(model="Problem")}}},
}
_CONVERTER = re.compile(r"\{(\w+):\w+\}")
"""`{name:path}`, which the document writes as `{name}`."""

_ALWAYS = ("4XX", "5XX")
_NOT_OURS = ("HTTPValidationError", "ValidationError")


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """The document, made once for an application."""
    if app.openapi_schema is None:
        document = _document(app)
        story: StoryMaker | None = app.state.story
        if story is not None:
            show_examples(document, story())
        app.openapi_schema = document
    return app.openapi_schema


def permission_of(route: Any) -> Permission | None:
    """The permission that a route declares: on its handler (raw and public routes) or among its dependencies."""
    declared = getattr(getattr(route, "endpoint", None), "permission", None)
    if declared is not None:
        return Permission(declared)
    dependant = getattr(route, "dependant", None)
    pending = list(dependant.dependencies) if dependant else []
    while pending:
        dependency = pending.pop()
        found = getattr(dependency.call, "permission", None)
        if found is not None:
            return Permission(found)
        pending.extend(dependency.dependencies)
    return None


def _document(app: FastAPI) -> dict[str, Any]:
    document: dict[str, Any] = get_openapi(title=app.title, version=app.version, routes=app.routes)
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in _NOT_OURS:
        schemas.pop(name, None)
    for model in (Problem, FieldError):
        schemas[model.__name__] = model.model_json_schema(ref_template=_REFERENCE)
        schemas[model.__name__].pop("$defs", None)
    components["securitySchemes"] = {_SCHEME: _CREDENTIAL}
    permissions = {
        (_CONVERTER.sub(r"{\1}", route.path or ""), method): permission_of(route)
        for route in iter_route_contexts(app.routes)
        for method in (getattr(route, "methods", None) or ())
    }
    for path, operations in document.get("paths", {}).items():
        for method, operation in operations.items():
            _complete(operation, permissions.get((path, method.upper())))
    return document


def _complete(operation: dict[str, Any], permission: Permission | None) -> None:
    responses = operation.setdefault("responses", {})
    responses.pop("422", None)
    responses |= dict.fromkeys(_ALWAYS, _PROBLEM)
    if permission is not None and permission is not Permission.PUBLIC:
        operation["security"] = [{_SCHEME: []}]
        operation["x-permission"] = permission.value
