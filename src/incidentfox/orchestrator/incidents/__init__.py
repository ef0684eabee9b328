"""Incidents as their sources tell them: opened by a trigger, moved on by the events that follow."""
