"""Takes an order: reserves the stock, then books it."""

from __future__ import annotations

from typing import Any

from incidentfox.local.shop.runtime import Runtime


async def place_order(shop: Runtime, sku: str, quantity: int) -> dict[str, Any]:
    """Places one order. The reservation comes first, so that nothing is booked that cannot be sent."""
    reservation = await shop.call("inventory", "/reservations", {"sku": sku, "quantity": quantity})
    order_id = await shop.pool.fetchval(
        "INSERT INTO orders (sku, quantity, status) VALUES ($1, $2, $3) RETURNING id",
        sku,
        quantity,
        reservation["status"],
    )
    shop.log("INFO", f"order {order_id} placed", sku=sku, quantity=quantity)
    return {"order_id": order_id, "status": reservation["status"]}
