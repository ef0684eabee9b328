"""The entry point `incidentfox`: joins the commands that talk to services with those that run them here."""

from __future__ import annotations

from incidentfox.cli.app import app
from incidentfox.local.commands import open_place, register


def main() -> None:
    """Called by the console script and by `python -m incidentfox`."""
    register(app)
    app(obj=open_place)


if __name__ == "__main__":
    main()
