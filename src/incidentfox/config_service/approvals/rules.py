"""Who may agree to a change request, and what state it must be in. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from incidentfox.contracts.change_requests import ChangeRequest, ChangeRequestStatus
from incidentfox.kernel.errors import Conflict, Forbidden, Gone


@dataclass(frozen=True)
class Identity:
    """Who a subject is, by the credentials behind it.

    `names` are all subjects that are the same holder: the token that a session was signed in with, those that a token
    was rotated from and to, and who made a token that names no person: nothing tells its holder from its maker.
    `makers` are those who made the credentials of a named person, and could therefore act as them.
    """

    names: frozenset[str]
    makers: frozenset[str]


def judge_open(request: ChangeRequest) -> None:
    """Raises Gone for a request whose time is over, Conflict for one that is decided."""
    if request.status is ChangeRequestStatus.EXPIRED:
        raise Gone("This change request has expired. Open a new one.", code="change_request_expired")
    if request.status is not ChangeRequestStatus.OPEN:
        raise Conflict(f"This change request is {request.status.value} already.", code="change_request_closed")


def judge_second_eyes(author: Identity, approver: Identity) -> None:
    """Raises Forbidden unless the approver is somebody else than the author.

    A credential of the other's making is not somebody else, even where it names another person.
    """
    if author.names & (approver.names | approver.makers) or approver.names & author.makers:
        raise Forbidden(
            "Nobody approves their own change: a second person has to, with a token that is not of your making. One"
            " without a `user` counts as its maker's.",
            code="four_eyes_required",
        )


def judge_author(author: Identity, caller: Identity) -> None:
    """Raises Forbidden unless the caller opened the request."""
    if not author.names & caller.names:
        raise Forbidden("Only who opened this change request may do this.", code="not_the_author")


def judge_base(request: ChangeRequest, version: int) -> None:
    """Raises Conflict when the request was made for another version than the current one."""
    if request.base_version != version:
        raise Conflict(
            f"{request.node_id!r} is at version {version} by now, and this was asked for at {request.base_version}."
            " Its author must rebase it, so that it is read again as what it would do now.",
            code="change_request_stale",
        )
