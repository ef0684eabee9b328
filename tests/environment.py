"""The surroundings of a test: databases cloned from a migrated template, and keys for every service."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
from joserfc.jwk import OKPKey

from incidentfox.kernel.crypto import Keyring
from incidentfox.kernel.identity import ServiceIdentity
from incidentfox.local.postgres import EmbeddedPostgres
from incidentfox.migrations import SERVICE_ROLES, migrate

OWNER = "incidentfox_owner"
TEMPLATE = "incidentfox_template"
PASSWORD = secrets.token_hex(16)

_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 4 * 1024**3


@dataclass(frozen=True)
class Database:
    """One fresh database of the test cluster."""

    name: str
    superuser_url: str

    def url(self, role: str) -> str:
        """The URL of this database as one of the roles."""
        parts = urlsplit(self.superuser_url)
        return urlunsplit(parts._replace(netloc=f"{role}:{PASSWORD}@{parts.hostname}:{parts.port}"))

    def drop(self) -> None:
        """Drops the database, whoever is still connected."""
        execute(_maintenance(self.superuser_url), f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")


class Trusted:
    """A key pair for each service, a master key and a pepper; as objects and as files for real processes."""

    names = ("config-service", "orchestrator", "agent", "console", "platform")

    def __init__(self, folder: Path) -> None:
        self._keys = {name: OKPKey.generate_key("Ed25519") for name in self.names}
        self.folder = folder
        self.pepper = secrets.token_bytes(32)
        self.keyring = Keyring("k1", {"k1": secrets.token_bytes(32)})
        self._write()

    def identity(self, name: str) -> ServiceIdentity:
        """What a service signs its tokens with."""
        return ServiceIdentity(name, self._keys[name].as_dict(private=True))

    def public_keys(self) -> dict[str, dict[str, Any]]:
        """The public key of each service."""
        return {name: dict(key.as_dict(private=False)) for name, key in self._keys.items()}

    def environment(self, name: str) -> dict[str, str]:
        """The environment variables by which a real process of service `name` finds its keys."""
        return {
            "INCIDENTFOX_IDENTITY_KEY_FILE": str(self.folder / f"{name}.jwk"),
            "INCIDENTFOX_TRUSTED_KEYS_FILE": str(self.folder / "trusted.json"),
            "INCIDENTFOX_MASTER_KEYS_FILE": str(self.folder / "master.json"),
            "INCIDENTFOX_TOKEN_PEPPER_FILE": str(self.folder / "pepper"),
            "INCIDENTFOX_SESSION_KEY_FILE": str(self.folder / "session"),
        }

    def _write(self) -> None:
        for name, key in self._keys.items():
            (self.folder / f"{name}.jwk").write_text(json.dumps(key.as_dict(private=True)))
        (self.folder / "trusted.json").write_text(json.dumps(self.public_keys()))
        keys = {key: base64.b64encode(value).decode() for key, value in self.keyring.keys.items()}
        (self.folder / "master.json").write_text(json.dumps({"current": self.keyring.current, "keys": keys}))
        (self.folder / "pepper").write_text(base64.b64encode(self.pepper).decode())
        (self.folder / "session").write_text(base64.b64encode(secrets.token_bytes(32)).decode())


def cluster_folder(prefix: str, *, on_disk: bool = False) -> Path:
    """A new folder for a throw-away Postgres, which its caller deletes; in memory where there is room, or `on_disk`.

    A database is 400 files: on a disk, making it costs several times the processor time. Not below pytest's own
    temporary folder, which only its owner may enter: as root, Postgres runs as somebody else.
    """
    roomy = _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ROOM_BYTES
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=_MEMORY if roomy and not on_disk else None))
    folder.chmod(0o755)
    return folder


def prepare_cluster(postgres: EmbeddedPostgres) -> None:
    """Makes the owner role and the migrated template that every test's database is cloned from."""
    superuser = postgres.superuser_url()
    account = urlsplit(superuser)
    execute(
        superuser,
        f"ALTER ROLE {account.username} PASSWORD '{account.password}'",  # hashed anew, in one round (scram_iterations)
        f"CREATE ROLE {OWNER} LOGIN CREATEROLE PASSWORD '{PASSWORD}'",
        f"CREATE DATABASE {TEMPLATE} OWNER {OWNER}",
    )
    template = Database(TEMPLATE, postgres.superuser_url(TEMPLATE))
    migrate(template.url(OWNER))
    execute(superuser, *(f"ALTER ROLE {role} PASSWORD '{PASSWORD}'" for role in SERVICE_ROLES.values()))


def create_database(postgres: EmbeddedPostgres, name: str) -> Database:
    """Clones the template."""
    execute(postgres.superuser_url(), f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} OWNER {OWNER} STRATEGY file_copy")
    return Database(name, postgres.superuser_url(name))


def execute(url: str, *statements: str) -> None:
    """Runs statements one by one, outside a transaction."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def _maintenance(url: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path="/postgres"))
