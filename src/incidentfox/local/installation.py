"""The local installation: one folder with data, keys, logs and the ports that its services keep.

<home>/            0700
├── keys/          private keys, master key, pepper, passwords (0600)
├── postgres/      the embedded database
├── logs/          one file a process
├── ports.json     chosen once, so that webhook URLs stay valid
└── cli.json       the CLI's profile (0600)
"""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

from incidentfox.cli.private_file import write_private

PREFERRED_PORTS = {
    "console": 8080,
    "config-service": 8081,
    "orchestrator": 8082,
    "worker": 8083,
    "agent": 8084,
    "slack": 8090,
    "shop-monitor": 8091,
    "shop-web": 8092,
    "shop-orders": 8093,
    "shop-inventory": 8094,
}
_UNPREFERRED = range(15_000, 32_000)


@dataclass(frozen=True)
class Installation:
    """The paths and ports of the installation in `home`."""

    home: Path
    ports: dict[str, int]

    @property
    def logs(self) -> Path:
        """One log file a process."""
        return self.home / "logs"

    @property
    def keys(self) -> Path:
        """Everything secret."""
        return self.home / "keys"

    @property
    def postgres(self) -> Path:
        """The embedded database."""
        return self.home / "postgres"

    @property
    def profile(self) -> Path:
        """The CLI's profile."""
        return self.home / "cli.json"

    def url(self, process: str) -> str:
        """The base URL of one process."""
        return f"http://127.0.0.1:{self.ports[process]}"


def open_installation(home: Path) -> Installation:
    """The installation in `home`, made when it does not exist."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    (home / "logs").mkdir(exist_ok=True)
    return Installation(home, _ports(home / "ports.json"))


def choose_own_ports(home: Path) -> None:
    """Gives a new installation in `home` ports that no other one prefers: for one that runs beside others, briefly."""
    chosen: set[int] = set()
    while len(chosen) < len(PREFERRED_PORTS):
        chosen.add(_any_free())
    (home / "ports.json").write_text(json.dumps(dict(zip(PREFERRED_PORTS, chosen, strict=True))))


def kept_secret(path: Path) -> str:
    """A random secret that is kept in `path`, made at its first use."""
    if not path.exists():
        write_private(path, secrets.token_hex(24))
    return path.read_text()


def _ports(path: Path) -> dict[str, int]:
    kept: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
    ports = dict(kept)
    for name, preferred in PREFERRED_PORTS.items():
        if name not in ports:
            ports[name] = preferred if _is_free(preferred) and preferred not in ports.values() else _any_free()
    if ports != kept:
        path.write_text(json.dumps(ports, indent=2) + "\n")
    return ports


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _any_free() -> int:
    """A port that nobody holds, below those that Linux gives to outgoing connections: it stays free till it is used."""
    while True:
        port = secrets.choice(_UNPREFERRED)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
