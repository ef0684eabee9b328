"""Decision 006, word for word: the planner of a team from its effective configuration, and a run of it."""

from __future__ import annotations

import pytest
from tests.agent.conftest import Surroundings
from tests.agent.scenes import alert_of, document, recorded, small_incident

from incidentfox.agent import Runner, get_planner_for_team
from incidentfox.contracts.configuration import TeamConfiguration
from incidentfox.kernel.errors import NotFound

pytestmark = pytest.mark.anyio


@pytest.fixture
async def team(surroundings: Surroundings, monkeypatch: pytest.MonkeyPatch) -> Surroundings:
    """A team whose telemetry is a recording, and the environment that a program needs."""
    recording_id = await surroundings.upload(small_incident())
    telemetry = {"backend": "recording", "recording_id": recording_id}
    await surroundings.configure(document(integrations={"telemetry": telemetry}))
    for name, value in surroundings.environment().items():
        monkeypatch.setenv(name, value)
    return surroundings


async def test_the_two_lines_of_the_decision(team: Surroundings) -> None:
    planner = await get_planner_for_team(org_id="acme", team_node_id="platform-sre")
    result = await Runner.run(planner, "Investigate high latency")
    await planner.close()
    assert result.answer.config_hash == planner.configuration.hash
    assert result.usage.tool_calls >= 4
    assert result.events[-1].type == "run.finished"


async def test_a_saved_change_is_live_at_the_next_planner(team: Surroundings) -> None:
    before = await get_planner_for_team("acme", "platform-sre", client=team.config)
    await team.configure(document(tools={"rank_changes": {"enabled": False}}))
    after = await get_planner_for_team("acme", "platform-sre", client=team.config)
    assert before.configuration.hash != after.configuration.hash
    assert "rank_changes" in before.tool_names()
    assert "rank_changes" not in after.tool_names()


async def test_a_team_that_does_not_exist_has_no_planner(team: Surroundings) -> None:
    with pytest.raises(NotFound):
        await get_planner_for_team("acme", "nobody", client=team.config)


async def test_a_program_may_bring_its_own_signals(team: Surroundings) -> None:
    wanted: TeamConfiguration = document()
    await team.configure(wanted)
    planner = await get_planner_for_team(
        "acme", "platform-sre", client=team.config, open_telemetry=lambda *_: recorded(small_incident())
    )
    alert = alert_of(small_incident())
    result = await Runner.run(planner, f"{alert.service} is failing")
    assert result.answer.suspects
