"""Secrets go, everything else stays; twice is once; hostile text costs no more than other text."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.backtracking import Counter

from incidentfox.kernel.crypto import new_token
from incidentfox.kernel.redaction import Redactor, redact, redact_text
from incidentfox.kernel.secret_shapes import EMAIL, PEM_BEGIN, PEM_BODY_CUT, PEM_END, SHAPES

A, D, U = "a1B2c3D4", "0123456789", "ABCD1234"

# Put together here, so that no scanner takes this file for a leak.
SECRETS = {
    "github classic": "ghp_" + "a1B2" * 9,
    "github app": "ghs_" + "a1B2" * 9,
    "github fine-grained": "github_pat_" + A * 3 + "_" + A * 7,
    "gitlab": "glpat-" + "x7-" * 8,
    "slack bot": "xoxb-" + "123456789012-abcdefABCDEF",
    "slack app": "xapp-1-" + U * 2 + "-" + D,
    "aws": "AKIA" + "IOSFODNN7EXAMPLE",
    "aws temporary": "ASIA" + "IOSFODNN7EXAMPLE",
    "google": "AIza" + "b" * 35,
    "google oauth": "ya29." + A * 4,
    "google client": "GOCSPX-" + A * 3,
    "stripe": "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc",
    "stripe restricted": "rk_test_" + "4eC39HqLyjWDarjtT1zdp7dc",
    "openai": "sk-" + A * 6,
    "openai project": "sk-proj-" + A * 5,
    "anthropic": "sk-ant-api03-" + A * 8,
    "hugging face": "hf_" + A * 4,
    "npm": "npm_" + A * 5,
    "pypi": "pypi-" + "AgEIcHlwaS5vcmc" + A * 6,
    "sendgrid": "SG." + A * 3 + "." + A * 5,
    "grafana": "glsa_" + A * 4 + "_" + "0a1b2c3d",
    "vault": "hvs." + A * 4,
    "databricks": "dapi" + "0a1b2c3d" * 4,
    "atlassian": "ATATT3" + A * 6 + "=1A2B3C4D",
    "docker": "dckr_pat_" + A * 3,
    "digitalocean": "dop_v1_" + "0a1b2c3d" * 8,
    "jwt": ".".join(["eyJhbGciOiJIUzI1NiJ9", "eyJzdWIiOiIxMjM0NTY3ODkwIn0", "c2lnbmF0dXJlLW9mLWl0"]),
    "slack hook": "https://hooks.slack.com/services/" + "T000/B000/" + A * 3,
    "own organisation token": new_token("ifo"),
    "own team token": new_token("ift"),
    "own sign-in code": new_token("ifc"),
    "own webhook secret": "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "key": "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAKC\n-----END RSA PRIVATE KEY-----",
    "openssh key": "-----BEGIN OPENSSH PRIVATE KEY-----\n" + "b3BlbnNz" * 8 + "\n-----END OPENSSH PRIVATE KEY-----",
    "pgp key": "-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: 1\n\nlQOYBF\n-----END PGP PRIVATE KEY BLOCK-----",
    "escaped key": r"-----BEGIN PRIVATE KEY-----\nMIIEowIBAAKC\nMIIEowIBAAKC\n-----END PRIVATE KEY-----",
    "key in a diff": "-----BEGIN EC PRIVATE KEY-----\n+MIIEowIBAAKC\n+MIIEowIBAAKC\n+-----END EC PRIVATE KEY-----",
    "cut key": "-----BEGIN PRIVATE KEY-----\nMIIEowIBAAKC\nMIIEowIBAAKC",
}


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_a_secret_by_its_shape_is_hidden_wherever_it_stands(secret: str) -> None:
    hidden = redact({"lines": [f"before {secret} after"], "deep": {"x": [secret]}, f"k {secret}": 1})
    assert secret not in str(hidden)
    assert "[redacted:" in hidden["lines"][0]
    assert hidden["lines"][0].startswith("before ")
    assert hidden["lines"][0].endswith(" after")


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_and_whatever_stands_next_to_it(secret: str) -> None:
    for text in (
        f'"{secret}"',
        f"key={secret};",
        f"({secret})",
        f"{secret}\n",
        f"a\t{secret}",
        f"[{secret}]",
        f"{secret}",
    ):
        assert secret not in redact_text(text)


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("postgres://app:hunter2@db:5432/shop", "hunter2"),
        ("postgresql+asyncpg://app:hun%20ter2@db:5432/shop", "hun%20ter2"),
        ("mongodb+srv://root:a:b!c@cluster0.example.net", "a:b!c"),
        ("amqp://user:pa@ss@rabbit:5672", "pa@ss"),
        ("redis://:p4ssw0rd@cache:6379/0", "p4ssw0rd"),
        ("git clone https://0123456789abcdef0123456789abcdef@git.example.com/x", "0123456789abcdef0123456789abcdef"),
        ("Authorization: Bearer abcdef0123456789", "abcdef0123456789"),
        ("authorization: Basic dXNlcjpwYXNzd29yZA==", "dXNlcjpwYXNzd29yZA"),
        ('{"Authorization": "Token 8fa2b1c0d9"}', "8fa2b1c0d9"),
        ("Authorization: AWS4-HMAC-SHA256 Credential=AK/20260301, Signature=fe5f80f77d5fa3be", "fe5f80f77d5fa3be"),
        ("sent with bearer abcDEF0123456789", "abcDEF0123456789"),
        ("Cookie: session=abc123; theme=dark", "abc123"),
        ("Set-Cookie: sid=9f8e7d; Path=/; HttpOnly", "9f8e7d"),
        ("password=correct-horse retry=3", "correct-horse"),
        ('password="correct horse battery"', "horse battery"),
        ("password='it''s'", "it"),
        ('"DB_PASSWORD": "s3cr3t!!"', "s3cr3t!!"),
        (r'{\"password\": \"hunter2\", \"user\": \"kim\"}', "hunter2"),
        ("api_key: 'k-123456'", "k-123456"),
        ("x-api-key: 12345678", "12345678"),
        ("client-secret=abcd1234&x=1", "abcd1234"),
        ("clientSecret: abcd1234", "abcd1234"),
        ("PGPASSWORD=hunter2 psql", "hunter2"),
        ("passwd: hunter2", "hunter2"),
        ("Server=db;User Id=sa;Pwd=hunter2;", "hunter2"),
        ("AccountKey=Zm9vYmFyMTIzNDU2Nzg5MA==;EndpointSuffix=core", "Zm9vYmFyMTIzNDU2Nzg5MA"),
        ("aws_secret_access_key = wJalrXUtnFEMIK7MDENG", "wJalrXUtnFEMIK7MDENG"),
        ("aws_session_token=FwoGZXIvYXdzEBY", "FwoGZXIvYXdzEBY"),
        ('+    password: str = "hunter2"', "hunter2"),
        ('+  apiKey := "hunter22"', "hunter22"),
        ('os.environ["DB_PASSWORD"] = "hunter2"', "hunter2"),
        ("mysql --password hunter2 -h db", "hunter2"),
        ("tool --auth-token=hunter22", "hunter22"),
        ("curl -u admin:hunter2 http://x", "hunter2"),
        ("curl --user admin:hunter2 http://x", "hunter2"),
        ("curl --proxy-user=admin:hunter2 http://x", "hunter2"),
        ("DSN shop:hunter2@tcp(db:3306)/shop", "hunter2"),
        ("secret_key_base: 0a1b2c3d4e5f", "0a1b2c3d4e5f"),
        ("https://x.blob.core.windows.net/c?sv=2024&sig=abcdefABCDEF0123456789%3D", "abcdefABCDEF0123456789"),
        ("password=abcd\0efgh", "abcd"),
    ],
)  # fmt: skip
def test_a_secret_by_its_name_or_carrier_is_hidden(text: str, gone: str) -> None:
    assert gone not in redact_text(text)
    assert gone not in json.dumps(redact(json.loads(json.dumps({"line": text}))))


def test_the_rest_of_a_connection_string_stays_readable() -> None:
    assert redact_text("postgres://app:hunter2@db:5432/shop") == "postgres://[redacted:credentials]@db:5432/shop"


def test_a_value_under_a_secret_name_is_hidden() -> None:
    assert redact({"db": {"password": "x", "pool": "main"}, "max_tokens": "5000", "accessToken": "a", "token": 7}) == {
        "db": {"password": "[redacted:value]", "pool": "main"},
        "max_tokens": "5000",
        "accessToken": "[redacted:value]",
        "token": 7,
    }


INNOCENT = [
    "password authentication failed for user app",
    "invalid token: expired",
    "auth error: token: malformed.",
    "Basic authentication failed, bearer token missing",
    "token = self.tokens.next()",
    "+    password = os.environ['DB_PASSWORD']",
    "-    password = get_secret(name)",
    "  DB_PASSWORD: ${DB_PASSWORD}",
    'password: "{{ .Values.password }}"',
    "max_tokens=5000 pool_max=10 token_count=12345",
    "commit 47f38c2201aa deployed to checkout at 12:03",
    "sha 47f38c2201aa90d1b2c3d4e5f60718293a4b5c6d and trace 4bf92f3577b34da6a3ce929d0e0e4736",
    "123e4567-e89b-12d3-a456-426614174000",
    "sha256:" + "0a1b2c3d" * 8,
    "https://example.com/runs/run_01jd?x=1",
    "https://example.com:8080/a@b",
    "git@github.com:acme/shop.git",
    "useradd --user-group shop:1000 and db@tcp(10.0.0.7:3306)/shop",
    "secret: None",
    "def check(password: str, token: Optional[str] = None) -> bool:",
    'if "-----BEGIN PRIVATE KEY-----" in text: raise Refused("no keys here please")',
    "keyboard=qwertz monkey: banana primary_key=order_id cache_key=user:42:cart",
    "cookie consent banner slow",
    "risk-scoring-service-v2 and disk-pressure-eviction-9 and task-runner-0123456789abcdef",
    "SELECT * FROM tokens WHERE id = 5",
    "http_server_duration_p99_ms{service=\"orders\"} 812.5 1772361600",
    "grpc-deadline: 250ms -> 25ms, token bucket: 100 rps",
    "kim@example.com approved it",
]  # fmt: skip


@pytest.mark.parametrize("text", INNOCENT)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact_text(text) == text


def test_addresses_go_where_a_team_wants_it_and_only_there() -> None:
    text = "kim@example.com approved it, cc Lee+oncall@sub.example.co.uk; git@github.com:acme/shop.git"
    hidden = Redactor(emails=True).redact_text(text)
    assert hidden == "[redacted:email] approved it, cc [redacted:email]; [redacted:email]:acme/shop.git"
    assert redact_text(text) == text


def test_nothing_in_a_recorded_incident_is_taken_for_a_secret(recordings: Path) -> None:
    """The analysis reads these: what it sees must be what was recorded."""
    for path in sorted(recordings.glob("*/**/*.*")):
        if path.suffix in (".json", ".ndjson"):
            text = path.read_text()
            rows = [json.loads(line) for line in text.splitlines()] if path.suffix == ".ndjson" else [json.loads(text)]
            for row in rows:
                assert redact(row) == row, path
        elif path.suffix == ".csv":
            for row in csv.reader(path.read_text().splitlines()):
                assert redact(row) == row, path


# -- properties ----------------------------------------------------------------------------------------------------

PIECES = st.one_of(
    st.sampled_from(sorted(SECRETS.values())),
    st.sampled_from(INNOCENT),
    st.sampled_from(
        [
            "password",
            "token",
            "secret",
            "api_key",
            "Authorization",
            "Cookie",
            "Bearer",
            "--token",
            "DB_",
            "=",
            ":",
            ": ",
            "=>",
            '"',
            "'",
            "\\",
            "\\n",
            "\n",
            " ",
            "://",
            "@",
            "a:b",
            ";",
            ",",
            "]",
            "[redacted:value]",
            "[redacted:",
            "-",
            "_",
            ".",
            "-----BEGIN PRIVATE KEY-----",
            "-----END PRIVATE KEY-----",
            "eyJ",
            "sk-",
            "x" * 30,
            "A1" * 20,
            "\0",
            "\ud800",
            "é",
        ]
    ),
    st.text(max_size=12),
)
TEXTS = st.lists(PIECES, max_size=12).map("".join)
VALUES = st.recursive(
    st.one_of(TEXTS, st.integers(), st.floats(allow_nan=False), st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)


@given(TEXTS, st.booleans())
def test_redacting_text_twice_is_redacting_it_once(text: str, emails: bool) -> None:
    redactor = Redactor(emails)
    once = redactor.redact_text(text)
    assert redactor.redact_text(once) == once


@given(VALUES)
def test_redacting_a_value_twice_is_redacting_it_once(value: Any) -> None:
    once = redact(value)
    assert redact(once) == once


@given(TEXTS, st.sampled_from(sorted(SECRETS)), TEXTS)
def test_no_surroundings_bring_a_secret_through(before: str, name: str, after: str) -> None:
    # Between spaces: the surroundings may hold the same secret as a part of a longer word, which is no secret then.
    secret = SECRETS[name]
    assert f" {secret} " not in redact_text(f"{before} {secret} {after}")


@given(
    st.lists(
        st.one_of(
            st.from_regex(r"[0-9a-f]{7,40}", fullmatch=True),
            st.uuids().map(str),
            st.from_regex(r"(?:run|dlv|inc)_[0-9a-hjkmnp-tv-z]{26}", fullmatch=True),
            st.floats(allow_nan=False, allow_infinity=False).map(repr),
            st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
            st.sampled_from(["orders", "http_5xx_ratio", "list_orders", "GET /orders", "v1.2.3", "C0123456789"]),
        ),
        max_size=10,
    )
)
def test_ids_shas_times_and_numbers_stay(words: list[str]) -> None:
    text = " ".join(words)
    assert redact_text(text) == text
    assert redact({"sha": text, "values": [1, 0.5, None, True]}) == {"sha": text, "values": [1, 0.5, None, True]}


# -- cost ----------------------------------------------------------------------------------------------------------

ANYWHERE = ("a.", "a-", "x" * 20, "0", " ", "\n", '"', "\\", "@", ":/", "=")
HOSTILE = (
    *("password", "password=", 'token="', "token=\"secret='", r"token=\"", "password: x x", "--token ", "api-key:="),
    *("a://b:", "a://", "a@b.", "a@", "eyJ-", "eyJabcdefgh.", "sk-", "xoxb-", "glpat-ghp_", "SG.a", "AKIA", "ift_"),
    *("authorization: basic ", "authorization=", "cookie: a", "cookie: a=", "bearer ", " -u a:", "?sig=", "hooks/"),
    *("-----BEGIN PRIVATE KEY-----", "-----BEGIN A PRIVATE KEY-----\nAAAAAAAAAAAA", "-----END PRIVATE KEY-----"),
    *("[redacted:", "password=[redacted:value]"),
)
PATTERNS = {
    **{f"{number} {shape.kind}": (shape.hints, shape.pattern) for number, shape in enumerate(SHAPES)},
    "email": (("@",), EMAIL),
    "begin": (("-----begin",), PEM_BEGIN),
    "end": (("-----end",), PEM_END),
    "cut": (("-----begin",), PEM_BODY_CUT),
}


@pytest.mark.parametrize(("hints", "pattern"), PATTERNS.values(), ids=PATTERNS)
def test_twice_the_hostile_text_is_at_most_about_twice_the_work(hints: tuple[str, ...], pattern: Any) -> None:
    own = [piece for piece in HOSTILE if any(hint in piece.lower() for hint in hints)]
    # What is in the text by the thousand, and behind one hint, since without any the pattern is not tried.
    for piece in (*own, *(hint + other for hint in hints[:1] for other in ANYWHERE)):
        head, body = (piece, piece) if piece in own else (hints[0], piece.removeprefix(hints[0]))
        steps = []
        for size in (550, 1100):  # beyond every bound in the patterns: what is only bounded shows as linear
            counter = Counter(pattern, (head + body * size)[:size])
            assert counter.matches() == [match.span() for match in pattern.finditer(counter.text) if match[0]]
            steps.append(counter.steps)
        assert steps[1] <= 2.2 * steps[0] + 500, (piece, steps)


def test_taking_secrets_out_takes_few_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = 0
    once = Redactor._once

    def counted(self: Redactor, text: str) -> str:
        nonlocal passes
        passes += 1
        return once(self, text)

    monkeypatch.setattr(Redactor, "_once", counted)
    for text in (
        "".join(SECRETS.values()) * 20,
        "-".join(SECRETS.values()) * 20,
        *(piece * 500 for piece in HOSTILE),
    ):
        passes = 0
        redact_text(text)
        assert passes <= 4, text[:80]
