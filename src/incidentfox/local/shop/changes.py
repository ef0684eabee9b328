"""The change feed: which commits there are and what was deployed when, in the form of a recorded incident.

`scenario.py`, which deploys, writes it; the monitor serves it. A file, because the two are different processes and each
may restart.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from incidentfox.local.shop.releases import RELEASES, Release
from incidentfox.local.shop.telemetry import iso, record_time


class ChangeLog:
    """Writes the feed. A new one begins with every start of the shop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        began = time.time()
        self._commits = [_commit(release, began - release.committed_before_s) for release in RELEASES]
        self._deploys: list[dict[str, Any]] = []
        self._write()

    def deployed(self, release: Release, at: float) -> None:
        """Records that `release` was rolled out; `at` is when that began, Unix seconds."""
        self._deploys.append(
            {"timestamp": iso(at), "service": release.service, "commit_sha": release.sha, "version": release.version}
        )
        self._write()

    def _write(self) -> None:
        document = {"commits": self._commits, "deploys": self._deploys, "flags": []}
        temporary = self._path.with_name(self._path.name + ".new")
        temporary.write_text(json.dumps(document))
        temporary.replace(self._path)


def read_changes(path: Path, since: float) -> dict[str, list[dict[str, Any]]]:
    """What changed from `since` (Unix seconds) on: `{commits, deploys, flags}`."""
    document: dict[str, list[dict[str, Any]]] = json.loads(path.read_text())
    return {kind: [entry for entry in entries if record_time(entry) >= since] for kind, entries in document.items()}


def _commit(release: Release, at: float) -> dict[str, Any]:
    return {
        "sha": release.sha,
        "author": release.author,
        "timestamp": iso(at),
        "message": release.message,
        "files_changed": [release.path],
        "diff": release.diff,
    }
