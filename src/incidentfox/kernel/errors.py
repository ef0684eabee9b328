"""The one tree of errors. Each leaf carries a stable code; `kernel/web/problem.py` renders it as RFC 9457.

    Failure                        what any part of the product raises on purpose
    ├── Permanent                  trying again will not help
    │   ├── Invalid            400 the request is malformed; names the field
    │   ├── Unauthenticated    401
    │   ├── Forbidden          403
    │   ├── NotFound           404
    │   ├── Conflict           409
    │   ├── Gone               410
    │   ├── PreconditionFailed 412
    │   ├── TooLarge           413
    │   └── Unprocessable      422 well-formed, but the result would break a rule
    └── Temporary                  trying again later may help
        ├── TooSlow            408 the request did not arrive in time
        ├── RateLimited        429 says when
        ├── Unavailable        503 a dependency is away
        └── Timeout            504

Whatever is retried (workflow steps, clients) asks one question only: permanent or temporary?
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from incidentfox.contracts.problem import FieldError


class Failure(Exception):
    """A failure that somebody meant to raise.

    `detail` is for people and says what to do next; it never holds a secret. `code` overrides the class's own code
    where a more exact one exists; it is documented in docs/reference/errors.md.
    """

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"
    default_code: ClassVar[str] = "internal_error"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        errors: Sequence[FieldError] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.default_code
        self.errors = tuple(errors)
        self.retry_after_s = retry_after_s


class Permanent(Failure):
    """Trying again will not help."""


class Temporary(Failure):
    """Trying again later may help."""

    status = 503
    title = "Temporarily unavailable"
    default_code = "unavailable"


class Invalid(Permanent):
    """The request is malformed."""

    status = 400
    title = "Invalid request"
    default_code = "invalid_request"


class Unauthenticated(Permanent):
    """No valid credential."""

    status = 401
    title = "Authentication required"
    default_code = "unauthenticated"


class Forbidden(Permanent):
    """A valid credential that does not allow this."""

    status = 403
    title = "Not allowed"
    default_code = "forbidden"


class NotFound(Permanent):
    """Nothing there, or nothing there for this caller: the two are not told apart."""

    status = 404
    title = "Not found"
    default_code = "not_found"


class Conflict(Permanent):
    """Clashes with what exists."""

    status = 409
    title = "Conflict"
    default_code = "conflict"


class Gone(Permanent):
    """Was there once, and is spent or switched off."""

    status = 410
    title = "Gone"
    default_code = "gone"


class PreconditionFailed(Permanent):
    """The caller's view is out of date."""

    status = 412
    title = "Precondition failed"
    default_code = "precondition_failed"


class TooLarge(Permanent):
    """Over a documented size limit."""

    status = 413
    title = "Too large"
    default_code = "too_large"


class Unprocessable(Permanent):
    """Well-formed, but its result would break a rule."""

    status = 422
    title = "Unprocessable"
    default_code = "unprocessable"


class RateLimited(Temporary):
    """Over a limit; `retry_after_s` says when to come back."""

    status = 429
    title = "Too many requests"
    default_code = "rate_limited"


class Unavailable(Temporary):
    """A dependency is away."""


class TooSlow(Temporary):
    """The caller took too long to send its request."""

    status = 408
    title = "Request timeout"
    default_code = "request_timeout"


class Timeout(Temporary):
    """A dependency did not answer in time."""

    status = 504
    title = "Timed out"
    default_code = "timeout"


class IntegrityFailure(Permanent):
    """Something kept failed its own check (a ciphertext, a signature, a hash): never served, always loud."""

    status = 500
    title = "Integrity failure"
    default_code = "integrity_failure"
