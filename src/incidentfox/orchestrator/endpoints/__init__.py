"""Webhook endpoints: an organisation's own doors, each with its own source, limit and encrypted secrets."""
