"""The tools, one file each: drop a module that binds `tool` into this folder and the catalogue has it.

Each reads the team's signals through `telemetry/protocol.py` and calls one pure function of `analysis`. A result is
bounded (the strongest first), says how much was left out, and gives times in Unix seconds (UTC).
"""
