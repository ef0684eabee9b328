"""Rotation of the master key that seals secrets at rest."""

from __future__ import annotations

from incidentfox.contracts.model import WireModel


class Reencryption(WireModel):
    """What one call has done: so many secrets now sealed under the key `key_id`, and so many still under another."""

    key_id: str
    reencrypted: int
    remaining: int
