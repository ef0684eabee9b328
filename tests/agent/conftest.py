"""No test of the agent may reach a real model by accident."""

from __future__ import annotations

import pytest
from pydantic_ai import models

pytestmark = pytest.mark.anyio
models.ALLOW_MODEL_REQUESTS = False
