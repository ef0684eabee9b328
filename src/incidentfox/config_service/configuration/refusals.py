"""What a judgement means for a write: the refusals, in the order in which they are to be mended. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from incidentfox.config_service.configuration.judgement import Judgement
from incidentfox.config_service.configuration.rules import MAX_ERRORS
from incidentfox.contracts.explanation import Refusal
from incidentfox.contracts.problem import FieldError
from incidentfox.kernel.errors import Conflict, Failure, PreconditionFailed, TooLarge, Unprocessable

REFUSED = (Conflict, PreconditionFailed, TooLarge, Unprocessable)
"""What a preview answers as a refusal; anything else is an error of the preview itself."""

_KINDS: dict[int, type[Failure]] = {kind.status: kind for kind in REFUSED}


def refusals(judgement: Judgement, *, approved: bool = False) -> Iterator[Failure]:
    """Why the change may not be made; nothing when it may. `approved`: a second pair of eyes has agreed to it."""
    if judgement.invalid:
        yield refuse_invalid(judgement.invalid)
    if judgement.violations:
        shown = judgement.violations[:MAX_ERRORS]
        yield Unprocessable(f"The change would break a policy. {_first(shown)}", code="policy_violation", errors=shown)
    if judgement.approvals and not approved:
        shown = judgement.approvals[:MAX_ERRORS]
        yield Conflict(
            f"The change needs approval. {_first(shown)}"
            " Ask for it: POST …/change-requests, or `incidentfox change-request open`.",
            code="approval_required",
            errors=shown,
        )


def refuse_invalid(errors: Sequence[FieldError]) -> Unprocessable:
    """The refusal of what does not satisfy the schema."""
    shown = errors[:MAX_ERRORS]
    return Unprocessable(
        f"The effective configuration would not be valid. {_first(shown)}", code="invalid_configuration", errors=shown
    )


def as_refusal(failure: Failure) -> Refusal:
    """A failure as a preview shows it."""
    return Refusal(status=failure.status, code=failure.code, detail=failure.detail, errors=failure.errors)


def as_failure(refusal: Refusal) -> Failure:
    """The failure that a preview shows as a refusal."""
    kind = _KINDS[refusal.status]
    return kind(refusal.detail, code=refusal.code, errors=refusal.errors)


def _first(errors: Sequence[FieldError]) -> str:
    return f"{errors[0].pointer}: {errors[0].message}"
