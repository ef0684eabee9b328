"""Partial documents by node, and what they come to for a team."""
