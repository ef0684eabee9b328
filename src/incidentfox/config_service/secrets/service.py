"""Writes secrets, sealed, and resolves them for one run. Nothing else ever opens one."""

from __future__ import annotations

import asyncio
import re

from incidentfox.config_service.audit.service import Fact, record
from incidentfox.config_service.configuration.judgement import stand, walk
from incidentfox.config_service.configuration.store import path_levels, subtree_levels
from incidentfox.config_service.runs.service import read_run
from incidentfox.config_service.secrets import store
from incidentfox.config_service.secrets.rules import nearest, references
from incidentfox.config_service.session import Session
from incidentfox.config_service.tree.service import require_live, require_node, require_team
from incidentfox.contracts.configuration import (
    PutSecret,
    ResolvedSecrets,
    ResolveSecrets,
    SecretRemoval,
    SecretSummary,
    SecretUse,
)
from incidentfox.contracts.master_keys import Reencryption
from incidentfox.contracts.page import Page
from incidentfox.contracts.problem import FieldError
from incidentfox.contracts.tree import NodeKind
from incidentfox.kernel.crypto import Keyring, content_hash
from incidentfox.kernel.errors import Conflict, Invalid, NotFound, Unprocessable
from incidentfox.kernel.web.pagination import decode_cursor, page

MAX_NAMES = 64
"""Secrets of one resolution."""

REENCRYPTED_AT_ONCE = 100
"""Secrets of one call that moves them to another master key."""

MAX_USES = 200
"""The most teams that the deletion of a secret names."""

_TEAMS_AT_ONCE = 200
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")


async def put_secret(session: Session, keyring: Keyring, node_id: str, name: str, request: PutSecret) -> SecretSummary:
    """Writes a secret of a node. What is on record says that it was written, and nothing about the value."""
    node = require_live(await require_node(session, node_id))
    session.require_writable(node_id)
    ciphertext = keyring.seal(request.value, session.org_id, node_id, name)
    before = await store.ciphertext(session, node_id, name)
    summary = await store.put(session, node_id, name, ciphertext, keyring.current)
    team = node_id if node.kind is NodeKind.TEAM else None
    # Hashes of the ciphertexts, which are random: they tell versions apart and nothing about the value.
    hashes = (_hash(before) if before is not None else None, _hash(ciphertext))
    await record(session, Fact("secret.written", f"{node_id}/{name}", team, *hashes, {"key_id": keyring.current}))
    return summary


async def delete_secret(session: Session, node_id: str, name: str, *, dry_run: bool) -> SecretRemoval:
    """Deletes a secret of a node, or says what that would do (`dry_run`). That teams refer to it is no hindrance.

    They get the secret of the same name that stands nearest above from then on, or none, which is what their runs say.
    """
    node = require_live(await require_node(session, node_id))
    session.require_writable(node_id)
    before = await store.ciphertext(session, node_id, name)
    if before is None:
        raise NotFound(f"{node_id!r} has no secret {name!r} of its own.", code="secret_not_found")
    above = [found for found in await store.sealed_on_path(session, node_id, {name}) if found.distance > 0]
    uses = await _uses(session, node_id, name)
    removal = SecretRemoval(
        org_id=session.org_id,
        node_id=node_id,
        name=name,
        dry_run=dry_run,
        falls_back_to=next((found.node_id for found in nearest(above)), None),
        used_by=len(uses),
        uses=tuple(uses[:MAX_USES]),
    )
    if not dry_run:
        await store.remove(session, node_id, name)
        team = node_id if node.kind is NodeKind.TEAM else None
        detail = {"used_by": removal.used_by, "falls_back_to": removal.falls_back_to}
        await record(session, Fact("secret.deleted", f"{node_id}/{name}", team, _hash(before), detail=detail))
    return removal


async def reencrypt(session: Session, keyring: Keyring) -> Reencryption:
    """Seals one batch of the organisation's secrets under the current master key; what each of them holds stays.

    Raises Conflict when all that is left was sealed with keys that are not in the key file.
    """
    session.require_whole_org()
    batch = await store.lock_sealed_with(session, set(keyring.keys) - {keyring.current}, REENCRYPTED_AT_ONCE)
    for secret in batch:
        ciphertext = keyring.reseal(secret.ciphertext, session.org_id, secret.node_id, secret.name)
        await store.replace_ciphertext(session, secret, ciphertext, keyring.current)
    others = await store.count_not_sealed_with(session, keyring.current)
    if batch:
        detail = {"key_id": keyring.current, "secrets": len(batch), "remaining": sum(others.values())}
        await record(session, Fact("secret.reencrypted", session.org_id, detail=detail))
    elif absent := sorted(set(others) - set(keyring.keys)):
        raise Conflict(
            f"Secrets are sealed with master keys that are not in the key file: {', '.join(absent)}. Put them back, or"
            " write those secrets anew.",
            code="master_key_absent",
        )
    return Reencryption(key_id=keyring.current, reencrypted=len(batch), remaining=sum(others.values()))


async def list_secrets(session: Session, node_id: str, cursor: str | None, limit: int) -> Page[SecretSummary]:
    """A page of the node's own secrets, without their values."""
    after = decode_cursor(cursor)
    if after is not None and not _NAME.fullmatch(after):
        raise Invalid("`cursor` must be the `next_cursor` of an earlier page.", code="invalid_cursor")
    await require_node(session, node_id)
    return page(await store.summaries(session, node_id, after, limit + 1), limit, lambda secret: secret.name)


async def resolve(session: Session, keyring: Keyring, team_node_id: str, request: ResolveSecrets) -> ResolvedSecrets:
    """The values that one run of the team needs, each from the nearest node that sets it; each is on record.

    Names that are set nowhere on the team's path are absent.
    """
    if len(request.names) > MAX_NAMES:
        message = f"One call may resolve {MAX_NAMES} secrets at most."
        raise Unprocessable(message, errors=[FieldError(pointer="/names", message=message)])
    await require_team(session, team_node_id)
    run = await read_run(session, request.run_id)
    if run.team_node_id != team_node_id:
        raise Conflict(f"The run {request.run_id} is not one of {team_node_id!r}.", code="run_of_another_team")
    values: dict[str, str] = {}
    for secret in nearest(await store.sealed_on_path(session, team_node_id, set(request.names))):
        values[secret.name] = keyring.open(secret.ciphertext, session.org_id, secret.node_id, secret.name)
        detail = {"run_id": request.run_id}
        await record(session, Fact("secret.resolved", f"{secret.node_id}/{secret.name}", team_node_id, detail=detail))
    return ResolvedSecrets(values=values)


async def _uses(session: Session, node_id: str, name: str) -> list[SecretUse]:
    """The teams that get this node's secret: they refer to it, and no node nearer to them has one of this name."""
    above = stand((await path_levels(session, node_id))[:-1])
    below = await subtree_levels(session, node_id)
    overriding = await store.set_below(session, node_id, name)
    found: list[SecretUse] = []
    for number, standing in enumerate(walk(above, below), start=1):
        level = standing.level
        if level.parent_id in overriding:
            overriding.add(level.node_id)
        if level.is_team and level.node_id not in overriding:
            pointers = tuple(references(standing.raw, name))
            if pointers:
                found.append(SecretUse(team_node_id=level.node_id, pointers=pointers))
        if number % _TEAMS_AT_ONCE == 0:
            await asyncio.sleep(0)  # lets others have the event loop
    return found


def _hash(ciphertext: bytes) -> str:
    return content_hash(ciphertext.hex())
