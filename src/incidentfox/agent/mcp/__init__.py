"""MCP servers of a team: what they offer one run, and the calls to them."""
