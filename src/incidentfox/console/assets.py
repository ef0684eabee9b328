"""The console's own style sheets, scripts and logo: read once, served with their content's hash in the address."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

_MEDIA_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


@dataclass(frozen=True)
class Asset:
    """One static file. `url` changes with the content, so browsers may keep it for good."""

    name: str
    content: bytes
    media_type: str
    digest: str

    @property
    def url(self) -> str:
        """The address that templates use."""
        return f"/static/{self.name}?v={self.digest}"


def load_assets() -> Mapping[str, Asset]:
    """Every file of `static/` by its name; called once by `create_app`."""
    found = {}
    for file in files("incidentfox.console").joinpath("static").iterdir():
        media_type = _MEDIA_TYPES.get(file.name.rpartition(".")[2])
        if media_type is not None:
            content = file.read_bytes()
            found[file.name] = Asset(file.name, content, media_type, hashlib.sha256(content).hexdigest()[:16])
    return found
