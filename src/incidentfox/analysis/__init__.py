"""Pure signal analysis: exact, deterministic code over metrics, logs, spans and changes.

Called by the agent's tools and by its offline model. Nothing here performs I/O, reads a clock or draws
randomness: the same input always gives the same answer, so every verdict can be replayed.
"""
