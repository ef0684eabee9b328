"""`incidentfox change-request …`: ask for a change of configuration, look at it, agree to it or not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from incidentfox.cli.config import DryRun, File, NodeId, read_document
from incidentfox.cli.configuration_text import print_preview
from incidentfox.cli.output import Json, age, console, print_items, print_object
from incidentfox.cli.progress import progress_line
from incidentfox.cli.session import Session, call
from incidentfox.contracts.change_requests import (
    ChangeRequest,
    ChangeRequestStatus,
    Comment,
    Decision,
    MoveChange,
    OpenChangeRequest,
    PatchChange,
    ReplaceChange,
)
from incidentfox.contracts.explanation import WritePreview
from incidentfox.contracts.page import Page

app = typer.Typer(help="Changes of configuration that somebody else has to approve.")

RequestId = Annotated[str, typer.Argument(help="The change request's id, crq_….")]
Title = Annotated[str, typer.Option(help="What it is for, in one line.")]
Reason = Annotated[str | None, typer.Option("--comment", help="Why.")]
ExpiresInDays = Annotated[int, typer.Option(min=1, max=30, help="Days until it expires.")]

_DAY_S = 86_400


@app.command("list")
def list_requests(
    node: Annotated[str | None, typer.Option(help="Only requests of this node.")] = None,
    status: Annotated[ChangeRequestStatus | None, typer.Option(help="Only requests in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="Newest requests to list.")] = 50,
    as_json: Json = False,
) -> None:
    """List the change requests that you may see, newest first."""

    async def fetch(session: Session) -> Page[ChangeRequest]:
        return await session.config_service.change_requests(session.org_id, node_id=node, status=status, limit=limit)

    print_items(
        call(fetch).items,
        (
            ("REQUEST", lambda request: request.request_id),
            ("NODE", lambda request: request.node_id),
            ("STATE", lambda request: request.status.value),
            ("TITLE", lambda request: request.title),
            ("BY", lambda request: request.created_by),
            ("AGE", lambda request: age(request.created_at)),
            ("DECIDED BY", lambda request: request.decided_by),
        ),
        as_json=as_json,
        empty="No change requests.",
    )


@app.command("open")
def open_request(
    node_id: NodeId,
    file: File,
    title: Title,
    replace: Annotated[bool, typer.Option("--replace", help="The file is the whole document, not a patch.")] = False,
    expires_in_days: ExpiresInDays = 7,
    dry_run: DryRun = False,
) -> None:
    """Ask for a patch (RFC 7396) of a node's own document, bound to its current version."""
    document = read_document(file)
    change = ReplaceChange(document=document) if replace else PatchChange(patch=document)
    _open(node_id, OpenChangeRequest(title=title, change=change, expires_in_s=expires_in_days * _DAY_S), dry_run)


@app.command("open-move")
def open_move(
    node_id: NodeId,
    parent: Annotated[str, typer.Argument(help="The node to move it below.")],
    title: Title,
    expires_in_days: ExpiresInDays = 7,
    dry_run: DryRun = False,
) -> None:
    """Ask for a move of a node with everything below it."""
    change = MoveChange(parent_id=parent)
    _open(node_id, OpenChangeRequest(title=title, change=change, expires_in_s=expires_in_days * _DAY_S), dry_run)


@app.command("show")
def show_request(node_id: NodeId, request_id: RequestId, as_json: Json = False) -> None:
    """Show a change request, what approving it would do now, and what was said about it."""

    async def fetch(session: Session) -> tuple[ChangeRequest, WritePreview, Page[Comment]]:
        service, org_id = session.config_service, session.org_id
        with progress_line(wanted=not as_json) as tell:
            return (
                await service.change_request(org_id, node_id, request_id),
                await service.preview_change_request(org_id, node_id, request_id, tell=tell),
                await service.change_request_comments(org_id, node_id, request_id, limit=200),
            )

    request, preview, comments = call(fetch)
    print_object(request, as_json=as_json)
    if as_json:
        return
    if request.status is ChangeRequestStatus.OPEN:
        console.print()
        print_preview(preview)
    for comment in comments.items:
        typer.echo(f"\n{comment.created_by}, {age(comment.created_at)} ago: {comment.text}")


@app.command("approve")
def approve_request(node_id: NodeId, request_id: RequestId, comment: Reason = None) -> None:
    """Agree to a change request and apply it. Nobody approves their own."""

    async def approve(session: Session) -> ChangeRequest:
        service, decision = session.config_service, Decision(comment=comment)
        with progress_line() as tell:
            return await service.approve_change_request(session.org_id, node_id, request_id, decision, tell=tell)

    _say(approve)


@app.command("reject")
def reject_request(node_id: NodeId, request_id: RequestId, comment: Reason = None) -> None:
    """Decline a change request for good."""

    async def reject(session: Session) -> ChangeRequest:
        decision = Decision(comment=comment)
        return await session.config_service.reject_change_request(session.org_id, node_id, request_id, decision)

    _say(reject)


@app.command("withdraw")
def withdraw_request(node_id: NodeId, request_id: RequestId, comment: Reason = None) -> None:
    """Take your own change request back."""

    async def withdraw(session: Session) -> ChangeRequest:
        decision = Decision(comment=comment)
        return await session.config_service.withdraw_change_request(session.org_id, node_id, request_id, decision)

    _say(withdraw)


@app.command("rebase")
def rebase_request(node_id: NodeId, request_id: RequestId) -> None:
    """Bind your own change request to the current version, after somebody else's change."""

    async def rebase(session: Session) -> ChangeRequest:
        return await session.config_service.rebase_change_request(session.org_id, node_id, request_id)

    _say(rebase)


@app.command("comment")
def comment_on_request(
    node_id: NodeId, request_id: RequestId, text: Annotated[str, typer.Argument(help="What you say.")]
) -> None:
    """Say something about a change request."""

    async def comment(session: Session) -> Comment:
        return await session.config_service.comment_on_change_request(session.org_id, node_id, request_id, text)

    print_object(call(comment), as_json=False)


def _open(node_id: str, request: OpenChangeRequest, dry_run: bool) -> None:
    async def ask(session: Session) -> ChangeRequest:
        with progress_line() as tell:
            return await session.config_service.open_change_request(session.org_id, node_id, request, tell=tell)

    async def preview(session: Session) -> WritePreview:
        with progress_line() as tell:
            return await session.config_service.preview_opening(session.org_id, node_id, request, tell=tell)

    if dry_run:
        print_preview(call(preview))
    else:
        _say(ask)


def _say(work: Callable[[Session], Awaitable[ChangeRequest]]) -> None:
    request = call(work)
    applied = f", as version {request.applied_version} of {request.node_id}" if request.applied_version else ""
    typer.echo(f"{request.request_id} is {request.status.value}{applied}")
