"""One running product for all tests of this folder that need a single replica; each makes its own tenant."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.acceptance.product import Product, running_product


@pytest.fixture(scope="session")
async def product(anyio_backend: str) -> AsyncIterator[Product]:
    """The product, up and ready."""
    async with running_product() as product:
        yield product
