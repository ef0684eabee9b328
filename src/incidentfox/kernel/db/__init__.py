"""Postgres: sessions, tenancy, idempotency. Imported by services that own tables; never by agent, console or CLI."""
