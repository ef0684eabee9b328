"""The service as a process of its own, with its settings from the environment."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import pytest
from tests.environment import Database, Trusted

from incidentfox.clients.config_service import ConfigServiceClient
from incidentfox.clients.transport import ServiceCredential
from incidentfox.config_service.settings import ConfigServiceSettings
from incidentfox.contracts.tree import CreateOrganisation
from incidentfox.kernel.errors import Unavailable
from incidentfox.kernel.settings import SettingsError

pytestmark = pytest.mark.anyio


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def process(database: Database, trusted: Trusted, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The entry point that production uses."""
    environment = {
        **os.environ,
        **trusted.environment("config-service"),
        "INCIDENTFOX_DATABASE_URL": database.url("incidentfox_config"),
        "INCIDENTFOX_PORT": str(port),
    }
    command = [sys.executable, "-c", "from incidentfox.config_service.main import main; main()"]
    started = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        yield started
    finally:
        started.kill()
        started.wait()


async def test_it_serves_from_its_environment_and_stops_when_told(database: Database, trusted: Trusted) -> None:
    port = free_port()
    with process(database, trusted, port) as started:
        credential = ServiceCredential(trusted.identity("platform"))
        client = ConfigServiceClient(f"http://127.0.0.1:{port}", credential, attempts=1)
        deadline = time.monotonic() + 30
        while True:
            try:
                await client.ready()
                break
            except Unavailable:
                assert time.monotonic() < deadline
                assert started.poll() is None
                await anyio.sleep(0.1)
        root = await client.create_organisation(CreateOrganisation(org_id="acme", name="Acme"))
        assert root.node_id == "acme"
        await client.close()
        started.send_signal(signal.SIGTERM)
        assert started.wait(timeout=10) in (0, -signal.SIGTERM)


async def test_a_bad_pepper_is_named(trusted: Trusted, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in trusted.environment("config-service").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("INCIDENTFOX_DATABASE_URL", "postgresql://x@127.0.0.1/x")
    assert ConfigServiceSettings().token_pepper() == trusted.pepper
    assert ConfigServiceSettings().listen_port() == 8081
    for content in ("not base64!", "c2hvcnQ="):
        file = trusted.folder / "bad-pepper"
        file.write_text(content)
        monkeypatch.setenv("INCIDENTFOX_TOKEN_PEPPER_FILE", str(file))
        with pytest.raises(SettingsError, match="INCIDENTFOX_TOKEN_PEPPER_FILE"):
            ConfigServiceSettings().token_pepper()
    monkeypatch.setenv("INCIDENTFOX_TOKEN_PEPPER_FILE", str(trusted.folder / "absent"))
    with pytest.raises(SettingsError, match="cannot be read"):
        ConfigServiceSettings().token_pepper()
