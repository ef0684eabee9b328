"""The organisation tree: organisations, units and teams."""
