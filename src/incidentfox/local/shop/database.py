"""The shop's database on the embedded Postgres: one role for each service, and one that may only look.

`shop_monitor` is a member of `pg_monitor` (sees every session's statement) and its sessions are read-only; its URL is
what the agent's database tool gets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from incidentfox.local.database import url_as

DATABASE = "shop"
MONITOR_ROLE = "shop_monitor"
SHOP_ROLES = ("shop_web", "shop_orders", "shop_inventory", MONITOR_ROLE)
"""Who needs a password: pass these to `load_or_create_keys`."""

ARTICLES = ("kettle", "lamp", "mug", "teapot")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS stock (sku text PRIMARY KEY, available bigint NOT NULL);
CREATE TABLE IF NOT EXISTS reservations (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, sku text NOT NULL REFERENCES stock,
    quantity int NOT NULL, status text NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, sku text NOT NULL, quantity int NOT NULL,
    status text NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS checkouts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, sku text NOT NULL, order_id bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now());
GRANT SELECT, UPDATE ON stock TO shop_inventory;
GRANT SELECT, INSERT ON reservations TO shop_inventory;
GRANT SELECT, INSERT ON orders TO shop_orders;
GRANT SELECT, INSERT ON checkouts TO shop_web;
"""


@dataclass(frozen=True)
class ShopDatabase:
    """The URLs of the shop's database, by role."""

    urls: Mapping[str, str] = field(repr=False)

    def service_url(self, service: str) -> str:
        """As the role of one of the services."""
        return self.urls[f"shop_{service}"]

    @property
    def monitor_url(self) -> str:
        """As the role that may only look."""
        return self.urls[MONITOR_ROLE]


def prepare_shop_database(superuser_url: str, passwords: Mapping[str, str]) -> ShopDatabase:
    """Makes database, roles and tables where they are missing, and fills the shelves. Safe at every start.

    Ends the sessions of an earlier shop first, so that no lock of an incident lives on. Blocking.
    """
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        for role in SHOP_ROLES:
            _prepare_role(connection, role, passwords[role])
        connection.execute(sql.SQL("GRANT pg_monitor TO {}").format(sql.Identifier(MONITOR_ROLE)))
        connection.execute(f"ALTER ROLE {MONITOR_ROLE} SET default_transaction_read_only = on")
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone() is None:
            connection.execute(f"CREATE DATABASE {DATABASE}")
        connection.execute(f"REVOKE ALL ON DATABASE {DATABASE} FROM PUBLIC")
        connection.execute(f"GRANT CONNECT ON DATABASE {DATABASE} TO {', '.join(SHOP_ROLES)}")
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s AND usename = ANY(%s)",
            (DATABASE, list(SHOP_ROLES)),
        )
    _prepare_tables(_database_url(superuser_url))
    return ShopDatabase({role: url_as(superuser_url, role, passwords[role], DATABASE) for role in SHOP_ROLES})


def _prepare_role(connection: psycopg.Connection[tuple[object, ...]], role: str, password: str) -> None:
    if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone() is None:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
    connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(password)))


def _prepare_tables(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(_SCHEMA)
        connection.execute("TRUNCATE reservations, orders, checkouts")
        for article in ARTICLES:
            connection.execute(
                "INSERT INTO stock VALUES (%s, 1000000) ON CONFLICT (sku) DO UPDATE SET available = 1000000", (article,)
            )


def _database_url(superuser_url: str) -> str:
    base, _, _ = superuser_url.rpartition("/")
    return f"{base}/{DATABASE}"
