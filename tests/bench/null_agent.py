"""An agent that takes every run at once and does nothing: what dispatch costs by itself, without investigations.

A team is led to it as to a deployment of its own (`runtime.agent_url`); no other part of the product knows.
"""

from __future__ import annotations

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from tests.acceptance.product import Product, free_ports

from incidentfox.local.processes import ProcessSpec


async def start(product: Product) -> dict[str, object]:
    """Starts it beside the product. What to put into a team's configuration, so that its runs go there."""
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    await product.stack.supervisor.start(
        ProcessSpec(
            name="null-agent",
            command=(sys.executable, "-m", "tests.bench.null_agent", str(port)),
            environment={},
            log_file=product.stack.installation.logs / "null-agent.log",
            ready_url=f"{url}/readyz",
        )
    )
    return {"runtime": {"mode": "dedicated", "agent_url": url}}


async def _run(request: Request) -> Response:
    asked = await request.json()
    return JSONResponse({"run_id": asked["run_id"], "status": "queued"}, 202)


async def _ready(_: Request) -> Response:
    return Response()


if __name__ == "__main__":
    app = Starlette(routes=[Route("/api/v1/run", _run, methods=["POST"]), Route("/readyz", _ready)])
    uvicorn.run(app, port=int(sys.argv[1]), log_config=None, access_log=False)
