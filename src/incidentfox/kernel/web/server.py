"""Runs an application under uvicorn: the last line of every service's `main()`."""

from __future__ import annotations

import uvicorn
from fastapi import FastAPI

_DRAIN_S = 5


def run_app(app: FastAPI, host: str, port: int) -> None:
    """Serves until SIGTERM or SIGINT, then drains for five seconds: open event streams must not hold a stop up."""
    uvicorn.run(
        app,
        host=host,
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_DRAIN_S,
    )
