"""What the customer's browser talks to."""

from __future__ import annotations

from typing import Any

from incidentfox.local.shop.runtime import Runtime

RECENT = 20
"""How many checkouts the front page lists."""


async def checkout(shop: Runtime, sku: str, quantity: int) -> dict[str, Any]:
    """Sells `quantity` pieces of an article."""
    order = await shop.call("orders", "/orders", {"sku": sku, "quantity": quantity})
    await shop.pool.execute("INSERT INTO checkouts (sku, order_id) VALUES ($1, $2)", sku, order["order_id"])
    shop.log("INFO", "checkout finished", sku=sku, pieces=quantity)
    return order


async def recent(shop: Runtime) -> dict[str, Any]:
    """What others have bought."""
    rows = await shop.pool.fetch("SELECT sku, order_id FROM checkouts ORDER BY id DESC LIMIT $1", RECENT)
    return {"recent": [dict(row) for row in rows]}
