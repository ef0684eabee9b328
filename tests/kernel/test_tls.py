"""Whom outgoing connections trust."""

from __future__ import annotations

import ssl

from incidentfox.kernel.tls import trust


def test_the_authorities_are_read_once_and_certificates_are_required() -> None:
    assert trust() is trust()
    assert trust().verify_mode is ssl.CERT_REQUIRED
    assert trust().check_hostname
