"""Secrets at rest, tokens and hashes."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incidentfox.kernel.crypto import (
    Keyring,
    canonical_json,
    content_hash,
    new_token,
    parse_keyring,
    token_hash,
    token_is_well_formed,
)
from incidentfox.kernel.errors import IntegrityFailure

RING = Keyring("k1", {"k1": b"1" * 32})


@given(st.text(min_size=1))
def test_what_is_sealed_opens_in_its_own_place_only(secret: str) -> None:
    sealed = RING.seal(secret, "acme", "checkout", "slack")
    assert RING.open(sealed, "acme", "checkout", "slack") == secret
    for place in (("acme", "payments", "slack"), ("other", "checkout", "slack"), ("acme", "checkoutslack")):
        with pytest.raises(IntegrityFailure):
            RING.open(sealed, *place)


def test_a_changed_bit_is_noticed() -> None:
    sealed = bytearray(RING.seal("secret", "acme"))
    sealed[-1] ^= 1
    with pytest.raises(IntegrityFailure):
        RING.open(bytes(sealed), "acme")


def test_master_keys_rotate_without_resealing_everything() -> None:
    old = RING.seal("secret", "acme")
    rotated = Keyring("k2", {"k1": b"1" * 32, "k2": b"2" * 32})
    assert rotated.open(old, "acme") == "secret"
    assert rotated.seal("secret", "acme").startswith(b"k2.")
    with pytest.raises(IntegrityFailure, match="not configured here"):
        Keyring("k2", {"k2": b"2" * 32}).open(old, "acme")


def test_the_same_secret_never_looks_the_same() -> None:
    assert RING.seal("secret", "acme") != RING.seal("secret", "acme")


def test_a_keyring_file_must_hold_its_current_key() -> None:
    key = base64.b64encode(b"1" * 32).decode()
    assert parse_keyring(json.dumps({"current": "a", "keys": {"a": key}})).current == "a"
    for keys in ({"b": key}, {"a": base64.b64encode(b"short").decode()}):
        with pytest.raises(IntegrityFailure):
            parse_keyring(json.dumps({"current": "a", "keys": keys}))


def test_nothing_secret_is_in_a_repr() -> None:
    assert "1111" not in repr(RING)


@given(st.integers(min_value=4, max_value=52), st.sampled_from("abcXYZ019-_"))
def test_a_mistyped_token_is_recognised_without_a_database(position: int, replacement: str) -> None:
    token = new_token("ift")
    assert token_is_well_formed(token)
    changed = token[:position] + replacement + token[position + 1 :]
    assert token_is_well_formed(changed) == (changed == token)


def test_a_token_is_kept_as_a_peppered_hash() -> None:
    token = new_token("ift")
    assert token_hash(token, b"pepper") != token_hash(token, b"other")
    assert token not in token_hash(token, b"pepper")


@given(st.dictionaries(st.text(), st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists)))
def test_the_order_of_keys_does_not_change_a_hash(document: dict[str, object]) -> None:
    shuffled = dict(reversed(list(document.items())))
    assert content_hash(document) == content_hash(shuffled)
    assert json.loads(canonical_json(document)) == document
