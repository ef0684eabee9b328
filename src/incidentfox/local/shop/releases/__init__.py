"""The releases of the shop's services: real code, one module each, and the commits that lead from one to the next.

A commit's diff is computed from the sources of the two modules, so the change feed cannot say anything that the running
code does not do. Read by `scenario.py` (what to deploy), `service.py` (what to run) and `changes.py` (the feed).
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType


@dataclass(frozen=True)
class Release:
    """One version of one service, and the commit that made it out of `parent`.

    `committed_before_s`: how long before the shop's start the commit was made, seconds.
    """

    service: str
    version: str
    author: str
    message: str
    path: str
    committed_before_s: float
    parent: str | None = None

    @property
    def name(self) -> str:
        """`<service>-<version>`, unique."""
        return f"{self.service}-{self.version}"

    def load(self) -> ModuleType:
        """The code of this release."""
        return importlib.import_module(_module(self.service, self.version))

    @cached_property
    def source(self) -> str:
        """The source text of this release; read, not run."""
        spec = importlib.util.find_spec(_module(self.service, self.version))
        if spec is None or spec.origin is None:
            raise LookupError(f"The package holds no release {self.name}.")
        return Path(spec.origin).read_text()

    @cached_property
    def diff(self) -> str:
        """Unified diff against the parent release."""
        before = "" if self.parent is None else find_release(f"{self.service}-{self.parent}").source
        lines = difflib.unified_diff(
            before.splitlines(keepends=True),
            self.source.splitlines(keepends=True),
            f"a/{self.path}" if self.parent else "/dev/null",
            f"b/{self.path}",
        )
        return "".join(lines)

    @cached_property
    def sha(self) -> str:
        """Named by content, as git does: SHA-1 over parent, author, message and diff."""
        content = "\0".join([self.parent or "", self.author, self.message, self.diff])
        return hashlib.sha1(content.encode(), usedforsecurity=False).hexdigest()


def _module(service: str, version: str) -> str:
    return f"{__name__}.{service}_{version.replace('.', '_')}"


_WEB = "services/web/storefront.py"
_ORDERS = "services/orders/orders.py"
_INVENTORY = "services/inventory/reservations.py"
_DAY_S = 86_400.0

RELEASES = (
    Release("inventory", "2.14.0", "mira.okafor", "feat(inventory): hold large orders", _INVENTORY, 6 * _DAY_S),
    Release("orders", "1.8.2", "jonas.lind", "fix(orders): reserve before booking", _ORDERS, 4 * _DAY_S),
    Release("web", "5.2.0", "ana.ruiz", "feat(web): list recent checkouts", _WEB, 3 * _DAY_S),
    Release("web", "5.3.0", "ana.ruiz", "chore(web): log how many pieces were sold", _WEB, 52 * 60.0, parent="5.2.0"),
    Release(
        "inventory",
        "2.15.0",
        "mira.okafor",
        "perf(inventory): answer large orders before they are booked",
        _INVENTORY,
        41 * 60.0,
        parent="2.14.0",
    ),
    Release(
        "orders",
        "1.9.0",
        "jonas.lind",
        "feat(orders): tell the customer when an order is held",
        _ORDERS,
        23 * 60.0,
        parent="1.8.2",
    ),
    Release("web", "5.3.1", "lea.brandt", "perf(web): list fewer checkouts", _WEB, 9 * 60.0, parent="5.3.0"),
)
"""Oldest commit first."""

BASELINE = ("inventory-2.14.0", "orders-1.8.2", "web-5.2.0")
"""What runs when the shop starts; callee before caller."""


def find_release(name: str) -> Release:
    """The release called `name`; LookupError for none."""
    for release in RELEASES:
        if release.name == name:
            return release
    raise LookupError(f"There is no release {name!r}.")
