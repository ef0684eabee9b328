"""Takes pieces off the shelf for an order."""

from __future__ import annotations

from typing import Any

from incidentfox.local.shop.runtime import Runtime

HOLD_FROM = 20
"""Orders of this many pieces or more are held until somebody approves them."""


async def reserve(shop: Runtime, sku: str, quantity: int) -> dict[str, Any]:
    """Reserves `quantity` pieces of an article, in one transaction."""
    async with shop.pool.acquire(timeout=2.0) as connection, connection.transaction():
        left = await connection.fetchval(
            "UPDATE stock SET available = available - $2 WHERE sku = $1 RETURNING available", sku, quantity
        )
        status = "held" if quantity >= HOLD_FROM else "reserved"
        await connection.execute(
            "INSERT INTO reservations (sku, quantity, status) VALUES ($1, $2, $3)", sku, quantity, status
        )
    shop.log("INFO", f"reserved {quantity} of {sku}", sku=sku, quantity=quantity, status=status)
    return {"sku": sku, "status": status, "left": left}
