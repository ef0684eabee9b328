"""Takes pieces off the shelf for an order."""

from __future__ import annotations

from typing import Any

from incidentfox.local.shop.runtime import Runtime

HOLD_FROM = 20
"""Orders of this many pieces or more are held until somebody approves them."""


async def reserve(shop: Runtime, sku: str, quantity: int) -> dict[str, Any]:
    """Reserves `quantity` pieces of an article, in one transaction."""
    connection = await shop.pool.acquire(timeout=2.0)
    transaction = connection.transaction()
    await transaction.start()
    try:
        left = await connection.fetchval(
            "UPDATE stock SET available = available - $2 WHERE sku = $1 RETURNING available", sku, quantity
        )
        if quantity >= HOLD_FROM:
            shop.log("INFO", f"held {quantity} of {sku} for approval", sku=sku, quantity=quantity, status="held")
            return {"sku": sku, "status": "held", "left": left}
        await connection.execute(
            "INSERT INTO reservations (sku, quantity, status) VALUES ($1, $2, $3)", sku, quantity, "reserved"
        )
    except BaseException:
        await transaction.rollback()
        await shop.pool.release(connection)
        raise
    await transaction.commit()
    await shop.pool.release(connection)
    shop.log("INFO", f"reserved {quantity} of {sku}", sku=sku, quantity=quantity, status="reserved")
    return {"sku": sku, "status": "reserved", "left": left}
