"""The wire models: every shape that crosses a process boundary, and nothing else.

FLOOR 1. Imports pydantic only. Services, clients, console and CLI all speak these models; a change here is a change
of the public API. Field names are the field's standard terms and are the same in API, CLI, console and tables.
"""
