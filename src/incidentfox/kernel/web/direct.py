"""A route class for answers that come from a cache: there, FastAPI's way of finding arguments costs more than the rest.

Used by the Config Service for what every run asks for. The route is declared as any other (and so documented, checked
and tested); its handler is called with the same arguments, found directly.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response

from incidentfox.kernel.web.auth import RequirePermission
from incidentfox.kernel.web.strict_json import StrictRoute


class DirectRoute(StrictRoute):
    """For handlers that take `request`, a `principal` by `requires(…)` and parameters of the path, and nothing else.

    They return a Response. A parameter that is not valid takes the usual way, which says what is wrong with it.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The direct handler. Raises TypeError for a signature that it cannot call."""
        usual = super().get_route_handler()
        handler: Callable[..., Coroutine[Any, Any, Response]] = self.endpoint
        check, parameters = self._check(), self.dependant.path_params

        async def direct(request: Request) -> Response:
            found: dict[str, Any] = {}
            for parameter in parameters:
                given = request.path_params[parameter.alias]
                found[parameter.name], errors = parameter.validate(given, found, loc=("path", parameter.alias))
                if errors:
                    return await usual(request)
            return await handler(request=request, principal=await check(request), **found)

        return direct

    def _check(self) -> RequirePermission:
        takes = self.dependant
        others = (takes.query_params, takes.header_params, takes.cookie_params, takes.body_params)
        checks = [one.call for one in takes.dependencies if one.name == "principal"]
        direct = takes.request_param_name == "request" and len(takes.dependencies) == 1 and not any(others)
        if not direct or len(checks) != 1 or not isinstance(checks[0], RequirePermission):
            raise TypeError(f"{self.path}: a direct route takes request, principal and parameters of its path only.")
        return checks[0]
