"""The timeline of a run: the only event store, read live by console and CLI."""
