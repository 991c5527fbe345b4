"""Credentials that are known by what they look like, wherever they stand."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["MASK", "key_body", "mask_shapes"]

MASK: Final = "[redacted]"
"""What stands where a secret was."""

_RUN: Final = r"[A-Za-z0-9_\-]"
_FREE: Final = r"(?<![A-Za-z0-9])"
_LOGIN: Final = r"(?<![^\s\"'=`])[^\s:@/\"'=`]{1,64}+:[^\s@\"'`]{1,256}+"
# Spaces may be URL-encoded.
_KIND: Final = r"[A-Z0-9 %+]{0,50}PRIVATE(?: |%20|\+)KEY(?:(?: |%20|\+)BLOCK)?-----"
_BEGIN: Final = rf"-----BEGIN(?=[ %+]){_KIND}"
_END: Final = rf"-----END(?=[ %+]){_KIND}"

_SHAPES: Final = re.compile(
    "|".join(
        (
            # PEM: to the end of the text where the end of the key is missing.
            rf"(?s:{_BEGIN}.*?(?:{_END}|\Z))",
            # The authority of a URL up to its last "@"; it holds no slash, so these runs do not overlap. The same in
            # JSON that escapes slashes.
            r"(?:(?<=://)|(?<=:\\/\\/))[^\s/?#\"'<>\\]+(?=@)",
            # An Authorization header's value, unless it is a challenge's parameter or a sentence about the scheme.
            r"(?P<scheme>(?i:bearer|basic)(?:[ \t]{1,8}|%20|\+))"
            r"(?!(?i:realm|error|error_description|error_uri|scope|resource_metadata|auth|authentication|authorization"
            r"|token|tokens|scheme|header|headers|credentials)(?![A-Za-z0-9_~+/\-]|\.[A-Za-z0-9]))"
            r"[A-Za-z0-9._~+/=%\-]{6,}+",
            rf"eyJ{_RUN}{{10,}}+(?:\.{_RUN}*+){{0,4}}+",  # JWT, and other base64 of a JSON object
            # AWS: key ids, session tokens, keys of Bedrock.
            rf"{_FREE}A(?:KIA|SIA|BIA|CCA|GPA|IDA|NPA|NVA|ROA)[A-Z0-9]{{16,124}}+(?![A-Za-z0-9])",
            rf"{_FREE}(?:IQoJb3JpZ2lu|FwoGZXIvYXdz|ABSKQmVkcm9ja0FQSUtleS)[A-Za-z0-9+/=]{{20,}}+",
            rf"AIza{_RUN}{{30,}}+|ya29\.{_RUN}{{10,}}+|GOCSPX-{_RUN}{{10,}}+|(?<!\w)1//0{_RUN}{{20,}}+",  # Google
            rf"gh[pousr]_[A-Za-z0-9]{{16,}}+|github_pat_\w{{16,}}+|gl(?:pat|ptt|dt|rt|cbt|soat)-{_RUN}{{16,}}+",
            r"xox[a-z](?:\.xox[a-z])?-[A-Za-z0-9\-]{8,}+|xapp-[A-Za-z0-9\-]{8,}+"  # Slack
            r"|(?<=hooks\.slack\.com/)(?:services|workflows)/[A-Za-z0-9/]{8,}+",
            r"(?<=/api/webhooks/)\d{15,22}/[\w\-]{20,}+|(?<!\d)\d{8,10}:AA[\w\-]{33,}+",  # Discord, Telegram
            rf"{_FREE}(?:sk|sess)-{_RUN}{{16,}}+",  # OpenAI, Anthropic and those who follow them
            rf"{_FREE}[spr]k_(?:live|test)_[A-Za-z0-9]{{8,}}+|whsec_[A-Za-z0-9+/=]{{16,}}+",  # Stripe
            rf"{_FREE}(?:npm|hf|gsk|dop_v1|doo_v1|dor_v1|lin_api|ntn|r8|shpat|shpss|lsv2_(?:pt|sk)|figd|dckr_pat|phx)_"
            rf"{_RUN}{{20,}}+|{_FREE}(?:pypi|xai|tvly|pplx|nvapi|xkeysib|sntrys|PMAK|NRAK|ATATT3)-?{_RUN}{{16,}}+",
            rf"SG\.{_RUN}{{16,64}}+\.{_RUN}{{8,}}+|{_FREE}hv[sbr]\.{_RUN}{{20,}}+|{_FREE}dapi[0-9a-f]{{32}}",
        )
    ),
    re.ASCII,
)
# Shapes that could begin at almost any word, each looked for only where some part of it stands, in lower case.
_RARE: Final = tuple(
    (part, re.compile(shape, re.ASCII))
    for part, shape in (
        # A URL that is a parameter of another.
        ("%40", r"(?i:(?<=%3a%2f%2f))(?:(?!(?i:%2f|%40))[^\s&\"'<>])++(?=%40)"),
        # The authority of a URL whose password holds what should have been encoded; a port is no password.
        ("@", r"(?<=://)[^\s/?#:\"'<>@\[\\]{0,256}+:(?!\d{0,5}(?:[/?#]|$))[^\s\"'<>@]{1,256}+(?=@)"),
        # What OAuth hands over in a redirect.
        ("code=", r"(?<=[?&]code=)[^\s&#\"'<>]{6,}+"),
        # A session's id, as the SDKs log it.
        ("session id", r"(?i:(?<=session id: )|(?<=session id=))[^\s\"'<>\[\]]{6,}+"),
        # Keys in files of other kinds than PEM, and PEM in base64, unless it is a certificate or a public key.
        ("private-lines:", r"(?s:(?<=Private-Lines:).*?(?=Private-MAC:|Private-Hash:|\Z))"),
        ("age-secret-key-", r"AGE-SECRET-KEY-[A-Z0-9\-]{20,}+"),
        (
            "ls0tls1crudjti",
            r"LS0tLS1CRUdJTi(?!BDRVJU|BQVUJM|BSU0EgUFVC|BFQyBQVUJM|BQR1AgUFVC|BQR1AgTUVT|BFQyBQQVJB)"
            r"[A-Za-z0-9+/]{20,}+(?:(?:\\[rn]|\s){1,4}[A-Za-z0-9+/]{20,}+)*+=*+",
        ),
        # Connection strings that are no URL: ADO, Oracle, Go.
        ("pwd=", r"(?i:(?<=;pwd=)|(?<=; pwd=))[^\s;\"'<>]++"),
        (":thin:", r"(?i:(?<=:thin:))[^\s@\"'<>]{1,256}+(?=@)"),
        (":oci:", r"(?i:(?<=:oci:))[^\s@\"'<>]{1,256}+(?=@)"),
        ("@tcp(", rf"{_LOGIN}(?=@tcp\()"),
        ("@unix(", rf"{_LOGIN}(?=@unix\()"),
        # Azure: client secrets, keys of storage and databases, of DevOps, of AI services, of functions and search.
        ("q~", rf"{_FREE}[A-Za-z0-9_~.\-]{{3}}[0-9]Q~[A-Za-z0-9_~.\-]{{31,40}}+"),
        ("==", r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{86}=="),
        ("azdo", rf"{_FREE}[A-Za-z0-9]{{76}}AZDO[A-Za-z0-9]{{4}}"),
        ("jqqj99", rf"{_FREE}[A-Za-z0-9]{{52}}JQQJ99[A-Za-z0-9]{{20,}}+"),
        ("az", rf"(?<![A-Za-z0-9_\-]){_RUN}{{40,48}}Az(?:Fu|Se){_RUN}{{6,}}+"),
    )
)
# Lines of base64, the first one from anywhere within it; a break may be JSON's.
_BREAK: Final = r"(?:\\[rn]|[\r\n]){1,4}[ \t]{0,16}+"
_BODY: Final = re.compile(
    rf"(?:[A-Za-z0-9+/=]{{0,128}}+(?:{_BREAK}[A-Za-z0-9+/]{{40,128}}+)++(?:{_BREAK}[A-Za-z0-9+/=]{{1,128}}+(?=\s|\\|\Z))?+"
    r"|[A-Za-z0-9+/]{40,128}+(?=\s|\\|\Z)|[A-Za-z0-9+/]{128,}+)",
    re.ASCII,
)
_FIRST_END: Final = re.compile(_END, re.ASCII)
_FIRST_BEGIN: Final = re.compile(_BEGIN, re.ASCII)


def key_body(text: str) -> int:
    """Return how far the end of a text, whose beginning is missing, is what stands within a private key."""
    found = _BODY.match(text)
    return 0 if found is None else found.end()


def mask_shapes(text: str) -> str:
    """Mask what has the shape of a credential."""
    # The tail of something that began with a private key: whatever stands before the key's end is the key.
    end = _FIRST_END.search(text)
    if end is not None and _FIRST_BEGIN.search(text, 0, end.start()) is None:
        text = MASK + text[end.end() :]
    text = _SHAPES.sub(_masked, text)
    lower = text.lower()
    for part, shape in _RARE:
        if part in lower:
            text = shape.sub(MASK, text)
    return text


def _masked(found: re.Match[str]) -> str:
    return f"{found['scheme'] or ''}{MASK}"
