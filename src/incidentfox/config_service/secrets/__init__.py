"""Secrets of nodes: sealed at rest, written by people, resolved by the agent alone."""
