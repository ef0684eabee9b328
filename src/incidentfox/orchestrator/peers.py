"""What the answers of the other services mean to work that the worker repeats."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError

from incidentfox.kernel.errors import Forbidden, Permanent, Timeout, Unauthenticated, Unavailable
from incidentfox.kernel.logging import get_logger

log = get_logger(__name__)


@contextmanager
def peer(name: str) -> Iterator[None]:
    """Round each call of a peer. Only what the peer itself refuses for good is Permanent; see dispatch/service.py."""
    try:
        yield
    except (Unauthenticated, Forbidden) as refusal:
        log.warning("a peer refuses this service's identity", peer=name, code=refusal.code, detail=refusal.detail)
        raise Unavailable(f"The {name} refuses this service: {refusal.detail}", code="identity_refused") from refusal
    except TimeoutError as error:
        raise Timeout(f"The {name} has not answered in time.") from error
    except ValidationError as error:
        log.warning("a peer's answer is not understood", peer=name, errors=error.error_count())
        raise Unavailable(f"The {name} answered in an unknown form.", code="peer_answer_unknown") from error
    except Permanent as failure:
        if failure.code.startswith("http_"):  # not a problem of ours: something between here and there answered
            raise Unavailable(f"Something else answered for the {name}: {failure.detail}") from failure
        raise
