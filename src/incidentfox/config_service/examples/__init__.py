"""The Config Service by example: the organisation `acme`, from its creation to a finished investigation.

Each list is a chapter and goes on where the one before it ended. A new operation needs a step in one of them
(`tests/config_service/test_openapi_examples.py` says so); `make docs` records the answers in `answers.json`.
"""

from __future__ import annotations

from pathlib import Path

from incidentfox.config_service.examples.changes import CHANGES
from incidentfox.config_service.examples.configuration import CONFIGURATION
from incidentfox.config_service.examples.investigation import INVESTIGATION
from incidentfox.config_service.examples.organisation import ORGANISATION
from incidentfox.config_service.examples.review import REVIEW
from incidentfox.kernel.web.examples import Story


def story() -> Story:
    """The chapters in order, with the answers on record."""
    steps = (*ORGANISATION, *CONFIGURATION, *CHANGES, *INVESTIGATION, *REVIEW)
    return Story(steps, Path(__file__).with_name("answers.json"))
