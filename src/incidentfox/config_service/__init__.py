"""The Config Service, the DATA PLANE: tree, configuration, secrets, tokens, routing, audit, runs.

Clients call it directly (`clients.config_service`); it has no access to Kubernetes and calls no other service.
Each domain is a folder of the same files: api → service → store → tables → rules.
"""
