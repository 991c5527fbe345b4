"""Names that say their value is a secret: of headers, variables, options, fields and query parameters."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

__all__ = ["is_secret_name", "is_secret_setting", "plain_name"]

_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SEPARATOR: Final = re.compile(r"[^a-z0-9]+")
_SECRET: Final = re.compile(
    r"passw(?:or)?d|passphrase|passcode|pswd|secret|credential|authorization|cookie|bearer|jwt"
    # `PWD` and `OLDPWD` are directories.
    r"|(?<=[a-z0-9])(?<!old)pwd"
    r"|token(?!s|i[sz])|(?:access|api|auth|bearer|bot|id|refresh|secret|session)tokens"
    r"|signature|connectionstring|apikey|(?:auth|device|recovery)codes?|codeverifier|clientassertion|samlresponse"
    r"|mnemonic|seedphrase|sess(?:ion)?id"
    r"|(?:access|account|app(?:lication)?|auth|client|consumer|decryption|deploy|encryption|functions|hmac|host|license|master"
    r"|private|service|session|shared|signing|ssh|storage|subscription)key(?!id)"
)
_SECRET_LAST: Final = frozenset({"auth", "otp", "pat", "sig", "totp"})
# `token_type`, `secret_name`, `password_file` tell about a secret and hold none.
_HARMLESS_LAST: Final = re.compile(
    r"alg|algorithm|at|budget|cost|count|dir|enabled|endpoints?|env|expiration|expires|expiry|file|in|length|limit"
    r"|methods?|mode|names?|path|policy|required|scheme|size|supported|ttl|types?|uri|url|usage|used"
)

# `STRIPE_KEY` is a secret among variables and headers; in what a tool is asked or answers, most keys are none. Nor are
# these, which say what something is looked up, ordered or told apart by; what may be either (`S3_KEY`) is a secret.
_OTHER_KEYS: Final = re.compile(
    r"cache|column|dedup\w*|foreign|group(?:ing)?|hot|idempotency|index|issue|lookup|object|order|partition|primary|public"
    r"|routing|row|shard|sort|surrogate|unique"
)


@lru_cache(maxsize=2048)
def is_secret_name(name: str) -> bool:
    """Return whether what goes by this name (of a header, variable, option or field) is a secret by its nature."""
    words = _words(name)
    if not words or _HARMLESS_LAST.fullmatch(words[-1]):
        return False
    return words[-1] in _SECRET_LAST or _SECRET.search("".join(words)) is not None


@lru_cache(maxsize=2048)
def is_secret_setting(name: str) -> bool:
    """Return the same of a header, a variable or a parameter of a URL, that somebody sets a server up with."""
    words = _words(name)
    last = words[-1:] in (["key"], ["keys"]) and not any(map(_OTHER_KEYS.fullmatch, words[:-1]))
    return last or is_secret_name(name)


def plain_name(name: str) -> str:
    """Return a name without its case and separators, as names are compared."""
    return _SEPARATOR.sub("", name.lower())


def _words(name: str) -> list[str]:
    return [word for word in _SEPARATOR.split(_HUMP.sub("-", name).lower()) if word]
