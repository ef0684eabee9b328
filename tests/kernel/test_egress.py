"""A tenant's URL leads to no metadata service, however the address is written."""

from __future__ import annotations

import pytest

from incidentfox.kernel.egress import AddressRefused, check_address, check_url

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.170.2",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "fe80::1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "fd00:ec2::254",
        "100.100.100.200",
        "168.63.129.16",
        "0.0.0.0",
        "::",
        "224.0.0.1",
    ],
)
async def test_no_spelling_of_a_metadata_address_passes(host: str) -> None:
    with pytest.raises(AddressRefused):
        await check_url(f"http://{host}:9090/metrics")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "10.0.0.7", "192.168.1.1", "[::1]", "[fd12::1]", "1.1.1.1", "host.invalid"]
)
async def test_private_and_public_addresses_and_unknown_names_pass(host: str) -> None:
    await check_url(f"http://{host}:9090/metrics")


async def test_the_peer_that_a_name_led_to_in_the_end_is_judged_too() -> None:
    with pytest.raises(AddressRefused):
        check_address("169.254.169.254")
