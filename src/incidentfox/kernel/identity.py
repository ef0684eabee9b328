"""A service's identity: how it signs the short-lived tokens that it shows to the services it calls.

EdDSA over Ed25519 (RFC 8037, RFC 9864). `kernel/web/auth.py` verifies them; the clients attach them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from joserfc import jwt
from joserfc.jwk import OKPKey

from incidentfox.contracts.permissions import Permission
from incidentfox.kernel.ids import new_id

ALGORITHMS = ["Ed25519"]
"""RFC 9864: EdDSA with its curve named."""

TOKEN_LIFETIME_S = 60


class ServiceIdentity:
    """Signs this service's own tokens; used by the clients."""

    def __init__(self, name: str, private_jwk: Mapping[str, Any]) -> None:
        self.name = name
        self._key = OKPKey.import_key(dict(private_jwk))

    def token(
        self,
        audience: str,
        permissions: frozenset[Permission],
        org_id: str | None,
        team_node_id: str | None = None,
    ) -> str:
        """A token for one call to `audience`, for one tenant."""
        now = int(time.time())
        claims = {
            "iss": self.name,
            "sub": f"service:{self.name}",
            "aud": audience,
            "iat": now,
            "exp": now + TOKEN_LIFETIME_S,
            "jti": new_id("jti"),
            "scope": " ".join(sorted(permissions)),
        }
        if org_id is not None:
            claims["org"] = org_id
        if team_node_id is not None:
            claims["team"] = team_node_id
        return jwt.encode({"alg": "Ed25519", "kid": self.name}, claims, self._key, algorithms=ALGORITHMS)
