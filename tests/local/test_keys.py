"""The secrets of a local installation: made once, private, and refused when damaged or open to others."""

from __future__ import annotations

import json
import stat
import threading
from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.jwk import OKPKey

from incidentfox.contracts.permissions import Permission
from incidentfox.kernel.crypto import parse_keyring
from incidentfox.kernel.identity import ALGORITHMS, ServiceIdentity
from incidentfox.local.keys import KeyFileError, LocalKeys, load_or_create_keys

SERVICES = ("config-service", "orchestrator", "agent")
ROLES = ("incidentfox_owner", "incidentfox_config")


def make(folder: Path) -> LocalKeys:
    return load_or_create_keys(folder / "keys", SERVICES, ROLES)


def test_second_call_loads_what_the_first_made(tmp_path: Path) -> None:
    assert make(tmp_path) == make(tmp_path)


def test_every_secret_differs(tmp_path: Path) -> None:
    keys = make(tmp_path)
    assert len({keys.pepper, keys.session_key, *keys.keyring.keys.values()}) == 3
    assert len(set(keys.database_passwords.values())) == len(ROLES)
    assert len({key.private_jwk["d"] for key in keys.services.values()}) == len(SERVICES)


def test_files_are_private(tmp_path: Path) -> None:
    keys = make(tmp_path)
    assert stat.S_IMODE(keys.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in keys.folder.iterdir()} == {0o600}


def test_nothing_secret_in_the_representation(tmp_path: Path) -> None:
    keys = make(tmp_path)
    shown = repr(keys)
    assert keys.services["agent"].private_jwk["d"] not in shown
    assert keys.database_passwords["incidentfox_owner"] not in shown
    assert repr(keys.pepper) not in shown


def test_a_token_signed_by_a_service_verifies_with_the_trusted_file(tmp_path: Path) -> None:
    keys = make(tmp_path)
    identity = ServiceIdentity("agent", json.loads(keys.services["agent"].path.read_text()))
    token = identity.token("config-service", frozenset(Permission), "acme")
    public = OKPKey.import_key(json.loads(keys.trusted_path.read_text())["agent"])
    assert jwt.decode(token, public, algorithms=ALGORITHMS).claims["iss"] == "agent"
    assert all("d" not in key for key in json.loads(keys.trusted_path.read_text()).values())


def test_master_file_is_what_the_services_read(tmp_path: Path) -> None:
    keys = make(tmp_path)
    keyring = parse_keyring(keys.master_path.read_text())
    assert keyring.open(keys.keyring.seal("secret", "acme"), "acme") == "secret"


def test_a_later_start_may_add_services_and_roles(tmp_path: Path) -> None:
    first = make(tmp_path)
    second = load_or_create_keys(first.folder, ("shop",), ("shop_web",))
    assert set(json.loads(second.trusted_path.read_text())) == {*SERVICES, "shop"}
    assert set(second.database_passwords) == {*ROLES, "shop_web"}
    assert make(tmp_path).services == first.services


def test_an_open_file_is_refused(tmp_path: Path) -> None:
    keys = make(tmp_path)
    keys.pepper_path.chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        make(tmp_path)


@pytest.mark.parametrize(
    "name", ["agent.jwk", "master.json", "pepper", "session", "database-roles.json", "trusted.json"]
)
def test_a_damaged_file_is_named_and_never_replaced(tmp_path: Path, name: str) -> None:
    path = make(tmp_path).folder / name
    path.write_text("[1")
    with pytest.raises(KeyFileError, match=name):
        make(tmp_path)
    assert path.read_text() == "[1"


def test_concurrent_first_starts_agree(tmp_path: Path) -> None:
    found: list[LocalKeys] = []
    threads = [threading.Thread(target=lambda: found.append(make(tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert all(keys.pepper == found[0].pepper and keys.services == found[0].services for keys in found)
    assert all(keys.database_passwords == found[0].database_passwords for keys in found)
