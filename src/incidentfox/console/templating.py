"""How pages are made: Jinja with autoescape always on and an undefined name being an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from incidentfox.console import documents, origins, words
from incidentfox.console.assets import Asset
from incidentfox.console.navigation import sections
from incidentfox.kernel.clock import utc_now

_FILTERS = (
    words.badge,
    words.status_word,
    words.alert_title,
    words.alert_reading,
    words.next_step,
    words.product_name,
    words.confidence_word,
    words.percent,
    words.duration,
    words.clock,
    words.moment,
    words.iso,
    words.short_hash,
    words.short_change,
    words.plain,
    words.person,
    words.role_word,
    words.identifier_word,
    words.day,
    words.request_state,
    words.kind_word,
    words.group_word,
    documents.json_text,
    origins.level_name,
    origins.is_node,
    words.money,
    words.verdict,
)


class Pages:
    """Renders templates. One per application, kept on `app.state.pages`."""

    def __init__(self, assets: Mapping[str, Asset]) -> None:
        self._environment = Environment(
            loader=PackageLoader("incidentfox.console"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update({function.__name__: function for function in _FILTERS})
        self._environment.filters["ago"] = lambda at: words.ago(at, utc_now())
        self._environment.globals.update(
            asset=lambda name: assets[name].url,
            since=words.since,
            is_chosen=words.is_chosen,
            sections=sections,
            run_seconds=lambda run: words.run_seconds(run, utc_now()),
        )

    def page(self, request: Request, template: str, context: Mapping[str, Any], status: int = 200) -> HTMLResponse:
        """A whole page. The session, where there is one, stands in its header."""
        return HTMLResponse(self.render(template, {"session": _session(request), **context}), status)

    def render(self, template: str, context: Mapping[str, Any]) -> str:
        """The text of a template; also used for the fragments of live pages."""
        return self._environment.get_template(template).render(**context)


def pages_of(request: Request) -> Pages:
    """The renderer of the application that handles this request."""
    pages: Pages = request.app.state.pages
    return pages


def _session(request: Request) -> Any:
    return getattr(request.state, "session", None)
