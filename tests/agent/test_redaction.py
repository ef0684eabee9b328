"""Secrets go, everything else stays."""

from __future__ import annotations

import pytest

from incidentfox.agent.redaction import redact, redact_text

# Put together here, so that no scanner takes this file for a leak.
JWT = ".".join(["eyJhbGciOiJIUzI1NiJ9", "eyJzdWIiOiIxMjM0NTY3ODkwIn0", "c2lnbmF0dXJlLW9mLWl0"])
SECRETS = {
    "github": "ghp_" + "a1B2" * 9,
    "slack": "xoxb-" + "123456789012-abcdefABCDEF",
    "aws": "AKIA" + "IOSFODNN7EXAMPLE",
    "google": "AIza" + "b" * 35,
    "stripe": "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc",
    "openai": "sk-proj-" + "a1B2c3D4" * 5,
    "jwt": JWT,
    "key": "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAKC\n-----END RSA PRIVATE KEY-----",
    "cut key": "-----BEGIN PRIVATE KEY-----\nMIIEowIBAAKC",
    "own token": "ift_" + "A" * 43 + "0a1b2c",
}


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_a_secret_by_its_shape_is_hidden_wherever_it_stands(secret: str) -> None:
    hidden = redact({"lines": [f"before {secret} after"], "deep": {"x": [secret]}})
    assert secret not in str(hidden)
    assert "[redacted:" in hidden["lines"][0]
    assert hidden["lines"][0].startswith("before ")


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("postgres://app:hunter2@db:5432/shop", "hunter2"),
        ("redis://:p4ssw0rd@cache:6379/0", "p4ssw0rd"),
        ("Authorization: Bearer abcdef0123456789", "abcdef0123456789"),
        ("password=correct-horse retry=3", "correct-horse"),
        ('"DB_PASSWORD": "s3cr3t!!"', "s3cr3t!!"),
        ("api_key: 'k-123456'", "k-123456"),
        ("client-secret=abcd1234&x=1", "abcd1234"),
    ],
)
def test_a_secret_by_its_name_is_hidden(text: str, gone: str) -> None:
    assert gone not in redact_text(text)


def test_the_rest_of_a_connection_string_stays_readable() -> None:
    assert redact_text("postgres://app:hunter2@db:5432/shop") == "postgres://[redacted:credentials]@db:5432/shop"


def test_a_value_under_a_secret_name_is_hidden() -> None:
    assert redact({"db": {"password": "x", "pool": "main"}, "max_tokens": "5000"}) == {
        "db": {"password": "[redacted:value]", "pool": "main"},
        "max_tokens": "5000",
    }


@pytest.mark.parametrize(
    "text",
    [
        "password authentication failed for user app",
        "token = self.tokens.next()",
        "+    password = os.environ['DB_PASSWORD']",
        "max_tokens=5000 pool_max=10",
        "commit 47f38c2201aa deployed to checkout at 12:03",
        "https://example.com/runs/run_01jd?x=1",
        "secret: None",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact_text(text) == text


def test_redaction_is_idempotent() -> None:
    text = " ".join(SECRETS.values()) + " password=abcdef"
    assert redact_text(redact_text(text)) == redact_text(text)
