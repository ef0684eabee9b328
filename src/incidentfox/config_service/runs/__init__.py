"""Runs: one investigation by one team's agent."""
