"""Encryption at rest, token hashing, canonical hashing.

Secrets are sealed with AES-256-GCM. The associated data binds a ciphertext to the place it was written for (tenant,
owner, field), so that a row copied elsewhere does not decrypt. The key id stands in front, so that keys can rotate.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets as _secrets
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from incidentfox.kernel.errors import IntegrityFailure

_NONCE_BYTES = 12  # NIST SP 800-38D: 96-bit random nonces


@dataclass(frozen=True)
class Keyring:
    """Master keys by id (32 bytes each). New secrets are sealed with `current`; old keys only open."""

    current: str
    keys: Mapping[str, bytes] = field(repr=False)

    def seal(self, plaintext: str, *place: str) -> bytes:
        """Encrypts for one place, e.g. `seal(value, org_id, node_id, name)`."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = AESGCM(self.keys[self.current]).encrypt(nonce, plaintext.encode(), _associated(place))
        return self.current.encode() + b"." + nonce + sealed

    def open(self, ciphertext: bytes, *place: str) -> str:
        """Decrypts; IntegrityFailure when the place, the key or a single bit differs."""
        rest = ciphertext.partition(b".")[2]
        key = self.keys.get(self.key_of(ciphertext))
        if key is None:
            raise IntegrityFailure("A secret was sealed with a master key that is not configured here.")
        try:
            return AESGCM(key).decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], _associated(place)).decode()
        except InvalidTag:
            raise IntegrityFailure("A stored secret does not belong to the place where it was found.") from None

    def key_of(self, ciphertext: bytes) -> str:
        """The id of the key that a ciphertext was sealed with, whether it is here or not."""
        return ciphertext.partition(b".")[0].decode(errors="replace")

    def reseal(self, ciphertext: bytes, *place: str) -> bytes:
        """The same secret under the current key. Raises as `open`."""
        return self.seal(self.open(ciphertext, *place), *place)


def parse_keyring(document: str) -> Keyring:
    """Reads `{"current": id, "keys": {id: base64}}`, the form of the master-key file."""
    data = json.loads(document)
    keys = {key_id: base64.b64decode(value) for key_id, value in data["keys"].items()}
    if data["current"] not in keys or any(len(key) != 32 for key in keys.values()):
        raise IntegrityFailure("The master-key file must hold 32-byte keys and name one of them as current.")
    return Keyring(current=data["current"], keys=keys)


def new_token(prefix: str) -> str:
    """A bearer token: a recognisable prefix, 256 random bits, and a checksum that lets scanners reject typos offline.

    Form as GitHub's: `<prefix>_<43 base64url characters><6 hex characters of CRC-32>`.
    """
    body = base64.urlsafe_b64encode(_secrets.token_bytes(32)).rstrip(b"=").decode()
    return f"{prefix}_{body}{_checksum(body)}"


def token_is_well_formed(token: str) -> bool:
    """Whether the checksum holds. Costs nothing and spares the database a guess."""
    _, _, rest = token.partition("_")
    return len(rest) == 49 and hmac.compare_digest(_checksum(rest[:43]), rest[43:])


def token_hash(token: str, pepper: bytes) -> str:
    """What is stored instead of a token: HMAC-SHA-256 with a pepper that the database does not hold."""
    return hmac.new(pepper, token.encode(), hashlib.sha256).hexdigest()


def canonical_json(value: Any) -> bytes:
    """Canonical JSON after RFC 8785 for the JSON we make: sorted keys, no white space, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def content_hash(value: Any) -> str:
    """SHA-256 over the canonical JSON, as `sha256:<hex>`."""
    return "sha256:" + hashlib.sha256(canonical_json(value)).hexdigest()


def _associated(place: tuple[str, ...]) -> bytes:
    return canonical_json(list(place))


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode()) & 0xFFFFFF:06x}"
