"""What of the Config Service's refusals is worth waiting for: those that the operator will mend, not the run.

A run must not be lost because a key was rotated in the wrong order, or because a proxy answers for a service that
restarts. Used round the calls that are retried without end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError

from incidentfox.kernel.errors import Forbidden, Permanent, Unauthenticated, Unavailable
from incidentfox.kernel.logging import get_logger

log = get_logger(__name__)


@contextmanager
def patience() -> Iterator[None]:
    """Turns "I do not know you" and answers that are no answer of ours into Unavailable."""
    try:
        yield
    except (Unauthenticated, Forbidden) as refusal:
        log.warning("the Config Service refuses this agent", code=refusal.code, detail=refusal.detail)
        raise Unavailable(f"The Config Service refuses this agent: {refusal.detail}") from refusal
    except ValidationError as error:
        log.warning("the Config Service's answer is not understood", errors=error.error_count())
        raise Unavailable("The Config Service answered in an unknown form.") from error
    except Permanent as failure:
        if failure.code.startswith("http_"):  # no problem of ours: something between here and there answered
            raise Unavailable(f"Something else answered for the Config Service: {failure.detail}") from failure
        raise
