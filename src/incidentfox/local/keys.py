"""The secrets of a local installation: made once, loaded on every later start.

<folder>/                     0700; every file 0600
├── <service>.jwk             private Ed25519 key, JWK (RFC 8037)
├── trusted.json              the public key of each service, {name: JWK}
├── master.json               AES-256 master keys, {"current": id, "keys": {id: base64}}
├── pepper                    32 bytes, base64: hashes the bearer tokens
├── session                   32 bytes, base64: signs the console's sign-in
└── database-roles.json       {role: password}

`incidentfox up` calls `load_or_create_keys` and hands the paths to the services, which read the files themselves
(`kernel/settings.py`). In a cluster the same files are mounted Secrets.

    KeyFileError              permanent: a file is damaged or readable by others; the message names it
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from incidentfox.kernel.crypto import Keyring, parse_keyring
from incidentfox.kernel.errors import Failure, Permanent

T = TypeVar("T")

_SECRET_BYTES = 32


class KeyFileError(Permanent):
    """A key file is damaged, or others can read it."""

    default_code = "key_file"


@dataclass(frozen=True)
class ServiceKey:
    """The Ed25519 key pair of one service, as JWKs, and the file that holds the private one."""

    service: str
    path: Path
    private_jwk: Mapping[str, Any] = field(repr=False)
    public_jwk: Mapping[str, Any]


@dataclass(frozen=True)
class LocalKeys:
    """Everything secret that the local services need, and the files they read it from."""

    folder: Path
    services: Mapping[str, ServiceKey]
    keyring: Keyring
    pepper: bytes = field(repr=False)
    session_key: bytes = field(repr=False)
    database_passwords: Mapping[str, str] = field(repr=False)

    @property
    def trusted_path(self) -> Path:
        """The public keys of all services, {name: JWK}."""
        return self.folder / "trusted.json"

    @property
    def master_path(self) -> Path:
        """The AES master keys."""
        return self.folder / "master.json"

    @property
    def pepper_path(self) -> Path:
        """What bearer tokens are hashed with."""
        return self.folder / "pepper"

    @property
    def session_path(self) -> Path:
        """What the console signs its sessions with."""
        return self.folder / "session"


def load_or_create_keys(folder: Path, services: Sequence[str], database_roles: Sequence[str]) -> LocalKeys:
    """Loads the secrets of `folder` and makes those that are missing. Never changes one that exists.

    Two processes may call it at once: whoever writes a file first wins, and both load that one.
    KeyFileError when a file is damaged or open to others.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    keys = {name: _service_key(folder / f"{name}.jwk", name) for name in services}
    master = _load_or_make(folder / "master.json", _new_keyring)
    loaded = LocalKeys(
        folder=folder,
        services=keys,
        keyring=_parsed(folder / "master.json", lambda: parse_keyring(master)),
        pepper=_secret(folder / "pepper"),
        session_key=_secret(folder / "session"),
        database_passwords=_passwords(folder / "database-roles.json", database_roles),
    )
    _replace_when_different(loaded.trusted_path, _trusted_document(loaded.trusted_path, keys))
    return loaded


def _service_key(path: Path, service: str) -> ServiceKey:
    text = _load_or_make(path, _new_service_key)
    key = _parsed(path, lambda: OKPKey.import_key(json.loads(text)))
    if not key.is_private:
        raise KeyFileError(f"{path} holds no private key. Restore it, or delete it to have a new one made.")
    return ServiceKey(service, path, dict(key.as_dict(private=True)), dict(key.as_dict(private=False)))


def _new_service_key() -> str:
    return json.dumps(OKPKey.generate_key("Ed25519").as_dict(private=True))


def _new_keyring() -> str:
    key_id = f"k{secrets.token_hex(4)}"
    return json.dumps({"current": key_id, "keys": {key_id: _new_secret()}})


def _new_secret() -> str:
    return base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def _secret(path: Path) -> bytes:
    text = _load_or_make(path, _new_secret)
    value = _parsed(path, lambda: base64.b64decode(text.strip(), validate=True))
    if len(value) != _SECRET_BYTES:
        raise KeyFileError(f"{path} must hold {_SECRET_BYTES} bytes in base64, and holds {len(value)}. Restore it.")
    return value


def _passwords(path: Path, roles: Sequence[str]) -> dict[str, str]:
    text = _load_or_make(path, lambda: json.dumps({role: secrets.token_hex(24) for role in roles}))
    passwords: dict[str, str] = _parsed(path, lambda: dict(json.loads(text)))
    missing = [role for role in roles if role not in passwords]
    if missing:
        passwords |= {role: secrets.token_hex(24) for role in missing}
        _replace_when_different(path, json.dumps(passwords))
    return passwords


def _trusted_document(path: Path, keys: Mapping[str, ServiceKey]) -> str:
    """The public keys; those of services that this start did not name stay trusted."""
    kept: dict[str, Any] = _parsed(path, lambda: dict(json.loads(_read_private(path)))) if path.exists() else {}
    return json.dumps(kept | {name: dict(key.public_jwk) for name, key in keys.items()})


def _load_or_make(path: Path, make: Callable[[], str]) -> str:
    if not path.exists():
        temporary = _write_temporary(path, make())
        try:
            os.link(temporary, path)  # unlike a rename, a link never replaces what another process wrote
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    return _read_private(path)


def _replace_when_different(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        _write_temporary(path, text).replace(path)


def _write_temporary(path: Path, text: str) -> Path:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp creates with 0600
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return Path(name)


def _read_private(path: Path) -> str:
    if path.stat().st_mode & 0o077:
        raise KeyFileError(f"{path} is open to other users. Run: chmod 600 {path}")
    return path.read_text()


def _parsed(path: Path, parse: Callable[[], T]) -> T:
    try:
        return parse()
    except (ValueError, TypeError, KeyError, AttributeError, binascii.Error, JoseError, Failure) as error:
        raise KeyFileError(f"{path} is damaged ({type(error).__name__}). Restore it from a backup.") from error
