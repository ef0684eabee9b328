"""Libraries by what breaks first when one of their kind changes its defaults, and tools that never run in production.

Used by the diff effects for bumps of dependencies.
"""

from __future__ import annotations

import re

_KINDS = tuple(
    (re.compile(names, re.IGNORECASE), frozenset(families.split()))
    for names, families in (
        (r"urllib|requests|httpx|aiohttp|axios|okhttp|netty|openssl|rustls|cryptography|\bhttp|grpc|fetch|curl|faraday",
         "tls connect timeout"),
        (r"jackson|gson|proto|serde|pydantic|json|avro|marshmallow|msgpack|yaml|xml", "schema null"),
        (r"kafka|rabbit|amqp|sqs|pulsar|nats|celery|sidekiq", "queue schema absent"),
        (r"redis|memcache|dalli|caffeine|ehcache", "cache connect"),
        (r"jdbc|postgres|\bpg|psycopg|mysql|sqlalchemy|hibernate|hikari|knex|prisma|gorm|\borm|sequel|mongo",
         "pool query connect schema"),
        (r"auth|jwt|oauth|passport|keycloak|security|oidc|saml", "auth tls"),
        (r"tokio|async|executor|gevent|uvicorn|gunicorn|puma|thread|rxjava|reactor", "threads timeout cpu"),
    )
)  # fmt: skip
_DEVELOPMENT = re.compile(
    r"eslint|prettier|jest|pytest|mocha|vitest|rubocop|golangci|ruff|mypy|flake8|black\b|@types/|webpack|vite\b|babel|"
    r"husky|lint|checkstyle|spotless|mockito|junit|testcontainers|storybook|typescript\b",
    re.IGNORECASE,
)


def library_families(line: str) -> frozenset[str]:
    """The kinds of trouble that the library of a dependency file's line is known for."""
    return frozenset(family for names, families in _KINDS if names.search(line) for family in families)


def is_development_tool(line: str) -> bool:
    """Whether the line names what only builds, tests or checks."""
    return bool(_DEVELOPMENT.search(line))
