"""Credentials by their shapes and by the names before them, beyond the common ones."""

from __future__ import annotations

from base64 import b64encode

import pytest

from recloser.redact import MASK, is_secret_name, redact

A = "Ab1"

SHAPES = {
    "bearer, more spaces": ("Bearer   abc.DEF-123", "abc.DEF-123"),
    "bearer, as in a URL": ("header=Bearer%20abcDEF123", "abcDEF123"),
    "bearer, as in a form": ("h=Bearer+abcDEF123", "abcDEF123"),
    "bearer that begins like a word": ("Bearer token-abcdef refused", "token-abcdef"),
    "bearer that begins like a word and a dot": ("Bearer auth.abcdef refused", "auth.abcdef"),
    "aws session token": ("got IQoJb3JpZ2lu" + "X2Vj/+" * 10, "X2Vj"),
    "aws bedrock": ("ABSKQmVkcm9ja0FQSUtleS" + "abcd" * 10, "abcdabcd"),
    "azure storage": ("key " + "a1B2" * 21 + "ab== refused", "a1B2a1B2"),
    "azure devops": ("pat " + "a1" * 38 + "AZDO" + "b2c3", "a1a1a1"),
    "azure ai": ("key " + "a1" * 26 + "JQQJ99" + "b2" * 15, "a1a1a1"),
    "azure functions": ("code " + "a1" * 22 + "AzFu" + "b2c3d4e5==", "a1a1a1"),
    "slack, rotated": ("xoxe.xoxp-1-abcdefghij", "abcdefghij"),
    "discord": ("POST https://discord.com/api/webhooks/123456789012345678/" + A * 12, A * 4),
    "telegram": ("https://api.telegram.org/bot123456789:AA" + A * 11 + "/getMe", A * 4),
    "gitlab runner": ("glrt-abcdefghij0123456789", "abcdefghij"),
    "vault": ("hvs.abcdefghij0123456789abcdefghij", "abcdefghij"),
    "databricks": ("dapi0123456789abcdef0123456789abcdef", "0123456789abcdef"),
    "langsmith": ("lsv2_pt_abcdefghij0123456789_abc", "abcdefghij"),
    "tavily": ("tvly-dev-abcdefghij0123456789", "abcdefghij"),
    "oauth code": ("GET /callback?state=x&code=abcdef123456", "abcdef123456"),
    "ado": ("Server=h;Uid=sa;Pwd=zzzzzz;Timeout=3", "zzzzzz"),
    "oracle": ("jdbc:oracle:thin:scott/t1ger@//h:1521/x", "t1ger"),
    "go": ("dial user:p4ss@tcp(h:3306)/db failed", "p4ss"),
    "redis": ("redis://:p4ssw0rd@h:6379/0", "p4ssw0rd"),
    "mongo": ("mongodb+srv://u:p%40ss@h/db?w=majority", "p%40ss"),
    "url with a very long token": ("https://u:" + "ab1-" * 500 + "@h/x", "ab1-ab1-"),
    "url in a query": ("next=https%3A%2F%2Fu%3Ap4ss%40h%2Fx", "p4ss"),
    "url in escaped json": (r'{"u":"https:\/\/u:p4ss@h\/x"}', "p4ss"),
    "xml": ("<soap><Password type='x'>zzz</Password></soap>", "zzz"),
    "the end of a private key": ("MIIabc\nMIIdef\n-----END RSA PRIVATE KEY-----\nnext", "MII"),
    "a private key in json": (r'"k": "-----BEGIN PRIVATE KEY-----\nMIIabc\n-----END PRIVATE KEY-----\n"', "MIIabc"),
    "a private key in a URL": (
        "k=-----BEGIN%20RSA%20PRIVATE%20KEY-----%0AMIIabc%0A-----END%20RSA%20PRIVATE%20KEY-----",
        "MII",
    ),
    "a private key in a form": ("k=-----BEGIN+PRIVATE+KEY-----%0AMIIabc", "MII"),
    "a private key in base64": (
        "k " + b64encode(f"-----BEGIN EC PRIVATE KEY-----\n{A * 30}".encode()).decode(),
        "QWIxQWIx",
    ),
    "a private key in base64 of many lines": ("LS0tLS1CRUdJTiBQUklWQVRF" + "QWIx" * 12 + "\n" + "QWIx" * 16, "QWIx"),
    "a key of putty": ("Private-Lines: 1\nMIIabc\nPrivate-MAC: 12", "MIIabc"),
    "a key of putty without its end": ("Private-Lines: 1\nMIIabc", "MIIabc"),
    "age": ("AGE-SECRET-KEY-1" + "QPZRY9X8" * 7, "QPZRY9X8"),
    "a session": ("Received session ID: 0f8fad5bd9cb469f", "0f8fad5b"),
    "a session's header": ("[(b'Mcp-Session-Id', b'0f8fad5bd9cb469f')]", "0f8fad5b"),
    "url with a slash in its password": ("postgres://u:hun/ter2@h/db", "ter2"),
    "url with a question mark in its password": ("postgres://u:hun?ter2@h/db", "ter2"),
    "url with a token in a query": ("next=https%3A%2F%2Fh%2F%3Fa%3D1%26access_token%3Dzzzzzz%26b%3D2", "zzzzzz"),
    "yaml": ("password:\n  zzzzzz\n", "zzzzzz"),
    "yaml, as a block": ("password: >-\n  zzz zzz\n  zzz\nport: 1", "zzz"),
    "many blanks": ("password   =          zzzzzz", "zzzzzz"),
    "many blanks after an option": ("run --token        zzzzzz", "zzzzzz"),
    "an attribute": ('<add key="DB_PASSWORD"  value="zzz zzz"/>', "zzz"),
    "an attribute in json": (r'"<add name=\"token\" value=\"zzzzzz\"/>"', "zzzzzz"),
    "connection string of a queue": ("Endpoint=sb://h/;SharedAccessKeyName=n;SharedAccessKey=zzz=", "zzz"),
}

HARMLESS = [
    "Bearer token.",
    "Bearer token required, see Bearer auth, Bearer scheme",
    'Bearer realm=x, error_description="none", resource_metadata="https://h/x"',
    "git@github.com:owner/name",
    "PWD=/home/alice OLDPWD=/tmp",
    "https://h/search?q=a@b",
    "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "<name>alice</name> <tokens>5</tokens>",
    "550e8400-e29b-41d4-a716-446655440000",
    "a1b2" * 50,
    "https://h:8080/a@b http://h:80?x=a@b http://h:4873/@scope/name http://h:80#a@b",
    "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tTUlJ",
    "the session id is required",
    '<add key="colour" value="red"/>',
    "https%3A%2F%2Fh%2F%3Fpage%3D1",
    "password:\nport: 1",
    "colour: >-\n  red\nport: 1",
]


@pytest.mark.parametrize(("text", "secret"), SHAPES.values(), ids=SHAPES)
def test_a_credential_is_found_by_its_shape_or_place(text: str, secret: str) -> None:
    shown = redact(text)
    assert secret not in shown
    assert MASK in shown
    assert redact(shown) == shown


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_none_stays(text: str) -> None:
    assert redact(text) == text


def test_what_stands_around_a_secret_of_many_lines_stays() -> None:
    assert redact("password: |\n  a\n  b\nport: 1") == f"password: {MASK}\nport: 1"
    assert redact("password: >1") == f"password: {MASK}"
    assert redact("Private-Lines: 1\na\nPrivate-MAC: 12") == f"Private-Lines:{MASK}Private-MAC: 12"
    assert redact("%3Fid%3D1%26token%3Dzzz%26b%3D2") == f"%3Fid%3D1%26token%3D{MASK}%26b%3D2"


def test_the_scheme_before_a_token_stays() -> None:
    assert redact("sent Bearer%20abcdef123") == f"sent Bearer%20{MASK}"


def test_what_follows_the_end_of_a_private_key_stays() -> None:
    assert redact("MIIabc\n-----END PRIVATE KEY-----\nnext") == f"{MASK}\nnext"


@pytest.mark.parametrize(
    "name",
    [
        "MYSQL_PWD",
        "accessTokens",
        "code_verifier",
        "device_code",
        "client_assertion",
        "recovery_codes",
        "JSESSIONID",
        "Mcp-Session-Id",
        "consumer_key",
        "WEBHOOK_HMAC_KEY",
        "otp",
        "mnemonic",
        "APIKey",
    ],
)
def test_more_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["pwd", "OLDPWD", "primary_key", "assertion_error", "session", "prompt_tokens"])
def test_more_names_of_none(name: str) -> None:
    assert not is_secret_name(name)
