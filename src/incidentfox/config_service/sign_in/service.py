"""Signs browsers in by a single-use code, and out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from incidentfox.config_service.audit.service import Fact, record
from incidentfox.config_service.session import Session
from incidentfox.config_service.tokens import store
from incidentfox.config_service.tokens.rules import CODE_PREFIX, PREFIXES, hint
from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.tokens import CreatedToken, SignInCode
from incidentfox.kernel.clock import utc_now
from incidentfox.kernel.crypto import new_token, token_hash, token_is_well_formed
from incidentfox.kernel.db.session import Database
from incidentfox.kernel.db.tenancy import ByProof
from incidentfox.kernel.errors import Forbidden, Gone
from incidentfox.kernel.ids import new_id
from incidentfox.kernel.tenant import Tenant
from incidentfox.kernel.web.auth import Principal

CODE_LIFETIME = timedelta(minutes=10)
SESSION_LIFETIME = timedelta(hours=12)


@dataclass(frozen=True)
class OfferedCode:
    """A sign-in code that is on record: whose it is, and by which token it was asked for."""

    code_hash: str
    tenant: Tenant
    token_id: str

    def holder(self) -> Principal:
        """The holder of the token behind the code, who may do nothing yet."""
        nothing: frozenset[Permission] = frozenset()
        subject = f"token:{self.token_id}"
        return Principal(subject, self.tenant.org_id, self.tenant.team_node_id, nothing, token_id=self.token_id)


def own_token_id(principal: Principal) -> str:
    """The id of the token that the caller holds; Forbidden for services, which hold none."""
    if principal.token_id is None:
        raise Forbidden("This is for bearer tokens; a service identity signs nobody in or out.", code="token_required")
    return principal.token_id


async def create_code(session: Session, pepper: bytes) -> SignInCode:
    """A single-use code worth a session with the rights of the caller's token."""
    token_id = own_token_id(session.principal)
    secret = new_token(CODE_PREFIX)
    expires_at = utc_now() + CODE_LIFETIME
    await store.insert_code(session, token_hash(secret, pepper), token_id, expires_at)
    await record(session, Fact("sign_in_code.created", token_id))
    return SignInCode(code=secret, expires_at=expires_at)


async def find_code(database: Database, code: str, pepper: bytes) -> OfferedCode:
    """The code on record, used or not, before its tenant is known; Gone when there is none."""
    if not code.isascii() or not token_is_well_formed(code):
        raise _gone()
    hashed = token_hash(code, pepper)
    async with database.transaction(ByProof("incidentfox.code_hash", hashed)) as connection:
        found = await store.code(connection, hashed)
    if found is None:
        raise _gone()
    return OfferedCode(hashed, Tenant(found.org_id, found.team_node_id), found.token_id)


async def exchange_code(session: Session, offered: OfferedCode, pepper: bytes) -> CreatedToken:
    """Spends a code for a session token that ends with the token behind it, and twelve hours from now at the latest.

    Raises Gone when the code was spent or is too old, or when its token is no longer in force.
    """
    spent = await store.use_code(session, offered.code_hash)
    held = await store.in_force(session, offered.token_id) if spent else None
    if held is None:
        raise _gone()
    parent, issued_by = held
    now = utc_now()
    secret = new_token(PREFIXES[parent.kind])
    token = parent.model_copy(
        update={
            "token_id": new_id("tok"),
            "name": f"Session of {parent.name.removeprefix('Session of ')}"[:200],
            "hint": hint(secret),
            "created_at": now,
            "expires_at": min(now + SESSION_LIFETIME, parent.expires_at or now + SESSION_LIFETIME),
            "last_used_at": None,
            "rotated_to": None,
        }
    )
    await store.insert_token(session, token, token_hash(secret, pepper), issued_by or parent.token_id)
    await record(session, Fact("sign_in_code.exchanged", token.token_id, token.team_node_id))
    return CreatedToken(token=token, secret=secret)


def _gone() -> Gone:
    """What a code answers that is unknown, spent or too old: the three are not told apart."""
    return Gone("This sign-in link was used or is too old. Ask for a new one.", code="sign_in_code_gone")
