"""One running installation for all tests of this folder that need one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.cli.installation import CommandLine, running_installation


@pytest.fixture(scope="session")
def incidentfox() -> Iterator[CommandLine]:
    """The command line of a running installation."""
    with running_installation() as command_line:
        yield command_line
