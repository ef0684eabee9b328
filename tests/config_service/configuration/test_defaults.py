"""The platform's defaults fit the product that ships with them."""

from __future__ import annotations

from incidentfox.agent import tools
from incidentfox.agent.toolbox import Tool
from incidentfox.config_service.configuration.defaults import PLATFORM_DEFAULTS
from incidentfox.kernel.registry import load_plugins


def test_every_tool_of_the_defaults_exists_in_the_agent() -> None:
    assert set(PLATFORM_DEFAULTS["tools"]) <= set(load_plugins(tools, "tool", Tool))
    assert set(PLATFORM_DEFAULTS["agents"]["investigator"]["tools"]) == set(PLATFORM_DEFAULTS["tools"])
