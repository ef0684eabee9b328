"""Writes secrets, sealed, and resolves them for one run. Nothing else ever opens one."""

from __future__ import annotations

import re

from incidentfox.config_service.audit.service import Fact, record
from incidentfox.config_service.runs.service import read_run
from incidentfox.config_service.secrets import store
from incidentfox.config_service.secrets.rules import nearest
from incidentfox.config_service.session import Session
from incidentfox.config_service.tree.service import require_node, require_team
from incidentfox.contracts.configuration import PutSecret, ResolvedSecrets, ResolveSecrets, SecretSummary
from incidentfox.contracts.master_keys import Reencryption
from incidentfox.contracts.page import Page
from incidentfox.contracts.problem import FieldError
from incidentfox.contracts.tree import NodeKind
from incidentfox.kernel.crypto import Keyring, content_hash
from incidentfox.kernel.errors import Conflict, Invalid, Unprocessable
from incidentfox.kernel.web.pagination import decode_cursor, page

MAX_NAMES = 64
"""Secrets of one resolution."""

REENCRYPTED_AT_ONCE = 100
"""Secrets of one call that moves them to another master key."""

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")


async def put_secret(session: Session, keyring: Keyring, node_id: str, name: str, request: PutSecret) -> SecretSummary:
    """Writes a secret of a node. What is on record says that it was written, and nothing about the value."""
    node = await require_node(session, node_id)
    session.require_writable(node_id)
    ciphertext = keyring.seal(request.value, session.org_id, node_id, name)
    before = await store.ciphertext(session, node_id, name)
    summary = await store.put(session, node_id, name, ciphertext, keyring.current)
    team = node_id if node.kind is NodeKind.TEAM else None
    # Hashes of the ciphertexts, which are random: they tell versions apart and nothing about the value.
    hashes = (_hash(before) if before is not None else None, _hash(ciphertext))
    await record(session, Fact("secret.written", f"{node_id}/{name}", team, *hashes, {"key_id": keyring.current}))
    return summary


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


def _hash(ciphertext: bytes) -> str:
    return content_hash(ciphertext.hex())
