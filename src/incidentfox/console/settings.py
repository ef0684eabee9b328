"""The console's settings: the only place of this service that reads the environment."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field

from incidentfox.kernel.crypto import Keyring
from incidentfox.kernel.settings import ServiceSettings, SettingsError

SERVICE = "console"
PORT = 8080


class ConsoleSettings(ServiceSettings):
    """Settings of the console. It has no database: what it shows it asks the services for, as the person signed in."""

    config_service_url: str = Field(default="http://127.0.0.1:8081", description="Base URL of the Config Service.")
    orchestrator_url: str = Field(default="http://127.0.0.1:8082", description="Base URL of the Orchestrator.")
    public_url: str = Field(
        default="http://127.0.0.1:8080",
        description="The address in people's browsers. With https, cookies are Secure and HSTS is sent.",
    )
    session_key_file: Path = Field(
        description="The AES-256 key that seals session cookies: 32 random bytes in base64 (mode 0600)."
    )

    @property
    def is_https(self) -> bool:
        """Whether browsers reach the console over TLS."""
        return urlsplit(self.public_url).scheme == "https"

    @property
    def origin(self) -> str:
        """Scheme, host and port of `public_url`, as browsers write it in the Origin header."""
        parts = urlsplit(self.public_url)
        return f"{parts.scheme}://{parts.netloc}".lower()

    def session_keyring(self) -> Keyring:
        """The key that seals sessions."""
        try:
            key = base64.b64decode(self.session_key_file.read_text().strip(), validate=True)
        except OSError as error:
            raise SettingsError(
                f"INCIDENTFOX_SESSION_KEY_FILE names {self.session_key_file}, which cannot be read: {error.strerror}."
            ) from error
        except (binascii.Error, ValueError) as error:
            raise SettingsError("INCIDENTFOX_SESSION_KEY_FILE must hold base64.") from error
        if len(key) != 32:
            raise SettingsError(f"INCIDENTFOX_SESSION_KEY_FILE must hold 32 bytes, not {len(key)}.")
        return Keyring(current="s1", keys={"s1": key})
