"""IncidentFox: the self-hosted, multi-tenant AI SRE. See docs/life-of-a-webhook.md for the two-minute tour."""
