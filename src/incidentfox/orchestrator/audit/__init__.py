"""The audit of the Orchestrator's own changes: committed with the change, handed to the Config Service afterwards."""
