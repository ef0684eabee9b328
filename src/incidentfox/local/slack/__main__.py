"""The process: `python -m incidentfox.local.slack`, configured by `LOCAL_SLACK_…` variables."""

from __future__ import annotations

import uvicorn

from incidentfox.local.slack.app import LocalSlack
from incidentfox.local.slack.settings import SlackSettings
from incidentfox.local.slack.workspace import Workspace


def main() -> None:
    """Serves until SIGTERM."""
    settings = SlackSettings()
    workspace = Workspace(settings.data_file, settings.channels)
    slack = LocalSlack(workspace, settings.token.get_secret_value(), f"http://{settings.host}:{settings.port}")
    uvicorn.run(slack.app, host=settings.host, port=settings.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
