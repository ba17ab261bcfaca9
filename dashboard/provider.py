"""What logging in at an OpenID Connect provider needs, looked at before the server starts."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path

from recon.errors import AssetError, InputError, UsageError

_NEEDED = ("redirect_uri", "cookie_secret", "client_id", "client_secret", "server_metadata_url")
_SHORTEST_SECRET = 32


def require_provider(secrets: Path | None) -> None:
    """Nothing where ``secrets`` names a provider and the library that speaks with it is there.

    Raises:
        UsageError: no file, or one that lacks something.
        InputError: the file cannot be read.
        AssetError: the library is not installed.
    """
    if secrets is None:
        raise UsageError("--oidc needs --secrets FILE: a file with [auth] and in it " + ", ".join(_NEEDED) + ".")
    try:
        auth = tomllib.loads(secrets.read_text(encoding="utf-8")).get("auth")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"the secrets file '{secrets}' cannot be read ({error}): correct it.") from error
    missing = [name for name in _NEEDED if not isinstance(auth, dict) or not str(auth.get(name) or "").strip()]
    if missing or not isinstance(auth, dict):
        raise UsageError(f"the secrets file '{secrets}' lacks {', '.join(missing)} under [auth]: add what is missing.")
    if len(str(auth["cookie_secret"])) < _SHORTEST_SECRET:
        raise UsageError(
            f"cookie_secret in '{secrets}' is too short to be secret: take at least {_SHORTEST_SECRET} random "
            "characters, for example of 'openssl rand -hex 32'."
        )
    if not str(auth["redirect_uri"]).endswith("/oauth2callback"):
        raise UsageError(f"redirect_uri in '{secrets}' must be the dashboard's address with /oauth2callback behind it.")
    if importlib.util.find_spec("authlib") is None:
        raise AssetError("logging in at a provider needs the Python package 'authlib': install 'mesoface[oidc]'.")
