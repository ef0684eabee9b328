"""Whom outgoing connections trust."""

from __future__ import annotations

import ssl
from functools import cache

import httpx2


@cache
def trust() -> ssl.SSLContext:
    """The certificate authorities of this machine, as `verify` of a client; what SSL_CERT_FILE names in their place.

    Read once in a process: it takes 40 ms of processor time, which every client, also of plain HTTP, would spend anew.
    """
    return httpx2.create_ssl_context()
