"""Where no service connects to, whoever configured the address: nothing of a tenant's can be there.

Called wherever a URL comes from a tenant's configuration. Cloud metadata services hand the host's credentials to
whoever asks from its network, and live on link-local or otherwise fixed addresses. Private networks are not refused,
since self-hosted telemetry lives there: what a service may reach in them is for the cluster's network policy to say.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket

import httpx2

from incidentfox.kernel.errors import Unprocessable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_METADATA = frozenset(
    ipaddress.ip_address(address)
    for address in (
        "fd00:ec2::254",  # AWS, IPv6
        "fd20:ce::254",  # Google Cloud, IPv6
        "100.100.100.200",  # Alibaba Cloud
        "168.63.129.16",  # Azure's wire server
        "192.0.0.192",  # Oracle Cloud
    )
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class AddressRefused(Unprocessable):
    """A configured URL leads to an address that no service of ours connects to."""

    default_code = "address_refused"


async def check_url(url: str) -> None:
    """Raises AddressRefused for what is no http(s) URL and for one whose name leads to a refused address."""
    await check_host(_host_of(url))


async def check_host(host: str) -> None:
    """Raises AddressRefused for a name or address that leads to a refused address.

    A name that leads nowhere is left to the connection, which has better words for it.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return
    for _, _, _, _, (address, *_) in found:
        check_address(str(address))


def check_address(address: str) -> None:
    """Raises AddressRefused for an address that is refused: of a name, or of the peer that a connection ended up at."""
    if is_refused(ipaddress.ip_address(address.partition("%")[0])):
        raise AddressRefused(
            "This URL leads to a link-local or cloud metadata address. Configure the address of the service itself."
        )


def is_refused(address: Address) -> bool:
    """Whether nothing of a tenant's can be at the address. An IPv4 address within an IPv6 one counts as itself."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_refused(inner)
    return address.is_link_local or address.is_unspecified or address.is_multicast or address in _METADATA


def _host_of(url: str) -> str:
    wrong = AddressRefused("This is not a URL. Configure one like https://host:port/path.")
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        raise wrong from None
    if parsed.scheme not in ("http", "https") or not parsed.host or "%" in parsed.host:
        raise wrong
    return parsed.host
