"""Who may agree to a change request, and what state it must be in. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from incidentfox.contracts.change_requests import ChangeRequest, ChangeRequestStatus
from incidentfox.kernel.errors import Conflict, Forbidden, Gone


@dataclass(frozen=True)
class Identity:
    """A subject with the subjects behind it.

    `same` are those that are the same credential: the token that a browser session was signed in with. `makers` are
    those that made the credential, and could therefore act as it.
    """

    subject: str
    same: frozenset[str] = frozenset()
    makers: frozenset[str] = frozenset()

    def itself(self) -> frozenset[str]:
        """Every name of this credential."""
        return self.same | {self.subject}


def judge_open(request: ChangeRequest) -> None:
    """Raises Gone for a request whose time is over, Conflict for one that is decided."""
    if request.status is ChangeRequestStatus.EXPIRED:
        raise Gone("This change request has expired. Open a new one.", code="change_request_expired")
    if request.status is not ChangeRequestStatus.OPEN:
        raise Conflict(f"This change request is {request.status.value} already.", code="change_request_closed")


def judge_second_eyes(author: Identity, approver: Identity) -> None:
    """Raises Forbidden unless the approver is somebody else than the author.

    A credential that one of the two made for itself is not somebody else.
    """
    if author.itself() & (approver.itself() | approver.makers) or approver.itself() & author.makers:
        raise Forbidden(
            "Nobody approves their own change: a second person has to, with a credential that is not of your making.",
            code="four_eyes_required",
        )


def judge_author(author: Identity, caller: Identity) -> None:
    """Raises Forbidden unless the caller opened the request."""
    if not author.itself() & caller.itself():
        raise Forbidden("Only who opened this change request may do this.", code="not_the_author")


def judge_base(request: ChangeRequest, version: int) -> None:
    """Raises Conflict when the request was made for another version than the current one."""
    if request.base_version != version:
        raise Conflict(
            f"{request.node_id!r} is at version {version} by now, and this was asked for at {request.base_version}."
            " Its author must rebase it, so that it is read again as what it would do now.",
            code="change_request_stale",
        )


def token_of(subject: str) -> str | None:
    """The id of the token that the subject is; None for a person and for a service."""
    prefix, _, token_id = subject.partition(":")
    return token_id if prefix == "token" else None


def subjects(token_ids: Collection[str]) -> frozenset[str]:
    """The subjects that these tokens are."""
    return frozenset(f"token:{token_id}" for token_id in token_ids)
