"""The Orchestrator: the control plane. FLOOR 4. Owns every webhook, and whatever needs infrastructure.

Two processes of the same package: `main` receives (webhooks and the API), `worker` executes (routes, audits and starts
runs from the durable queue). Receiving never waits for executing.
"""
