"""The agent: one runtime for every team. Isolation is per-request configuration (decisions 001 and 006).

    planner = await get_planner_for_team(org_id="acme", team_node_id="platform-sre")
    result = await Runner.run(planner, "Investigate high latency")

Where things are: `api.py` (a run comes in) → `workflow.py` (it becomes durable) → `planner.py` (configuration becomes
agents) → `runner.py` (the loop) → `destinations/` (the answer leaves).
"""

from incidentfox.agent.planner import Planner, get_planner_for_team
from incidentfox.agent.runner import Runner, RunResult

__all__ = ["Planner", "RunResult", "Runner", "get_planner_for_team"]
