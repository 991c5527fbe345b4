"""Secrets in a text: known by their shape, by the name before them, or by the configuration."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recloser.redact import MASK, SHORTEST_SECRET, Redactor, is_secret_name, redact

SECRET = "s3cr3t/val+ue=ø"

CREDENTIALS = {
    "bearer": ("Authentication failed for Bearer abc.DEF-123~x", "abc.DEF-123~x"),
    "basic": ("Proxy says basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
    "jwt": ("got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sig_na-ture.", "eyJzdWIiOiIxIn0"),
    "aws": ("user AKIAIOSFODNN7EXAMPLE may not", "AKIAIOSFODNN7EXAMPLE"),
    "google key": ("AIza" + "Ab1_" * 9 + " refused", "Ab1_Ab1_"),
    "google oauth": ("ya29.a0AfH6SMBxyz refused", "a0AfH6SMBxyz"),
    "azure": ("client abc8Q~" + "x1" * 17 + " refused", "x1x1"),
    "github": ("remote: ghp_abcdefghij0123456789 expired", "abcdefghij0123456789"),
    "github fine-grained": ("github_pat_11ABCDEFG0abcdefghij expired", "11ABCDEFG0abcdefghij"),
    "gitlab": ("glpat-abcdefghij0123456789", "abcdefghij0123456789"),
    "slack": ("xoxb-123456789-abcdef", "123456789-abcdef"),
    "slack hook": ("POST https://hooks.slack.com/services/T000/B000/XXXX failed", "T000/B000"),
    "openai": ("Incorrect API key provided: sk-proj-abcdefghij0123456789.", "abcdefghij0123456789"),
    "anthropic": ("invalid x-api-key sk-ant-api03-abcdefghij", "api03-abcdefghij"),
    "stripe": ("sk_live_abcdef123456 is no key", "abcdef123456"),
    "hugging face": ("hf_abcdefghijABCDEFGHIJ0", "abcdefghijABCDEFGHIJ0"),
    "url user info": ("cannot reach https://alice:p@ss!w0rd@db.example/x", "p@ss!w0rd"),
    "url user info without a password": ("cannot reach https://tok3n@db.example/x", "tok3n"),
    "pem": ("key -----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY----- end", "MIIabc"),
    "pem without its end": ("-----BEGIN PRIVATE KEY-----\nMIIabc", "MIIabc"),
}

NAMED = {
    "query": ("GET /x?page=1&api_key=zzz&size=2", "zzz", "GET /x?page=1&api_key=[redacted]&size=2"),
    "query behind another name": ("url=https://h/?token=zzz", "zzz", "url=https://h/?token=[redacted]"),
    "assignment": ("DB_PASSWORD=zzz ./run", "zzz", "DB_PASSWORD=[redacted] ./run"),
    "header": ("X-Api-Key: zzz", "zzz", "X-Api-Key: [redacted]"),
    "header in quotes": ("curl -H 'X-Api-Key: zzz' https://h", "zzz", "curl -H 'X-Api-Key: [redacted]' https://h"),
    "whole header": ("Authorization: AWS4 Cred=zzz, Sig=zzz\nHost: h", "zzz", "Authorization: [redacted]\nHost: h"),
    "cookies": ("Set-Cookie: a=zzz; Path=/; b=zzz", "zzz", "Set-Cookie: [redacted]"),
    "json": ('{"client_secret": "z\\"zz", "a": 1}', "zz", '{"client_secret": "[redacted]", "a": 1}'),
    "json within json": ('{\\"token\\": \\"z zz\\"}', "zz", '{\\"token\\": \\"[redacted]\\"}'),
    "repr": ("{'refreshToken': 'z zz'}", "zz", "{'refreshToken': '[redacted]'}"),
    "raw headers": ("[(b'x-api-key', b'zzz')]", "zzz", "[(b'x-api-key', b'[redacted]')]"),
    "call": ("Client(token=zzz)", "zzz", "Client(token=[redacted])"),
    "nested": ("secret: {'a': 'zzz'} and more", "zzz", "secret: [redacted]"),
    "option": ("run --token zzz --port 1", "zzz", "run --token [redacted] --port 1"),
    "option with =": ("run --api-key=zzz", "zzz", "run --api-key=[redacted]"),
    "options as a list": ("['--password', 'zzz']", "zzz", "['--password', '[redacted]']"),
    "connection string": ("Server=h;Password=zzz;Timeout=3", "zzz", "Server=h;Password=[redacted];Timeout=3"),
    "scheme": ("token = Bearer zzz", "zzz", "token = [redacted]"),
    "end of a sentence": ("wrong (password: zzz).", "zzz", "wrong (password: [redacted])."),
}

HARMLESS = [
    "max_tokens=5, token_type=Bearer, prompt_tokens: 7",
    "My password is fine",
    "token=None password: null secret=true",
    'token=""',
    "--token --port 1",
    "password:",
    "a risk-assessment-of-many-things",
    'WWW-Authenticate: Bearer realm="x", error="invalid_token"',
    "Bearer authentication is required",
    "https://example.com/a@b",
    "two\nlines\tand a tab",
    "naïve 日本 🙂",
]


@pytest.mark.parametrize(("text", "secret"), CREDENTIALS.values(), ids=CREDENTIALS)
def test_a_well_known_credential_is_found_by_its_shape(text: str, secret: str) -> None:
    assert secret not in redact(text)
    assert MASK in redact(text)


@pytest.mark.parametrize(("text", "secret", "shown"), NAMED.values(), ids=NAMED)
def test_what_stands_after_the_name_of_a_secret_is_hidden(text: str, secret: str, shown: str) -> None:
    assert redact(text) == shown
    assert secret not in shown


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_text_stays_as_it_is(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    "name",
    [
        "authorization",
        "Proxy-Authorization",
        "cookie",
        "Set-Cookie",
        "password",
        "passwd",
        "DB_PASSWORD",
        "client_secret",
        "apiKey",
        "api_key",
        "X-API-Key",
        "apikey",
        "accessToken",
        "access_token",
        "GITHUB_PERSONAL_ACCESS_TOKEN",
        "mytoken",
        "private_key",
        "AccountKey",
        "x-functions-key",
        "sig",
        "basic_auth",
        "SECRET_KEY_BASE",
        "credentials",
        "jwt",
    ],
)
def test_the_name_of_a_secret_is_known_in_any_case_and_with_any_separator(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "tokens",
        "max_tokens",
        "token_type",
        "token_url",
        "password_file",
        "key",
        "tokenizer",
        "PWD",
        "author",
        "url",
        "secret_name",
        "aws_access_key_id",
        "",
        "--",
    ],
)
def test_a_name_that_only_tells_about_a_secret_is_none(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    "shown",
    [
        SECRET,
        quote(SECRET),
        quote(SECRET, safe="").lower(),
        json.dumps(SECRET)[1:-1],
        f"before{SECRET}after",
        f"{SECRET}{SECRET}",
    ],
)
def test_a_configured_secret_is_found_in_each_of_its_forms(shown: str) -> None:
    assert Redactor([SECRET]).text(f"see {shown}!") in (f"see {MASK}!", f"see before{MASK}after!", f"see {MASK * 2}!")


@pytest.mark.parametrize("before", ["", "a", "ab", "user:"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_configured_secret_is_found_in_base64_whatever_stands_before_it(before: str, encode: Any) -> None:
    shown = encode(f"{before}{SECRET}".encode()).decode()
    redacted = Redactor([SECRET]).text(f"see {shown}")
    assert MASK in redacted
    assert len(redacted) - len("see ") - len(MASK) <= len(encode(before.encode())) + 3


def test_secrets_that_overlap_are_hidden_as_one() -> None:
    assert Redactor(["abcdefgh", "fghijkl"]).text("<abcdefghijkl>") == f"<{MASK}>"


def test_a_configured_secret_with_line_breaks_is_found_in_one_line_and_in_many() -> None:
    redactor = Redactor(["line one\r\nline two"])
    assert redactor.text("x line one\nline two y") == f"x {MASK} y"
    assert redactor.text(r"x line one\nline two y") == f"x {MASK} y"


def test_a_short_secret_is_passed_over_since_it_would_mangle_every_text() -> None:
    assert Redactor(["a" * (SHORTEST_SECRET - 1)]).text("aaaaaaaa") == "aaaaaaaa"


def test_a_secret_that_is_part_of_the_mask_does_not_hide_the_mask() -> None:
    assert Redactor(["redacted"]).text("redacted token=xyz") == f"redacted token={MASK}"


def test_a_secret_at_the_cut_is_hidden_in_full() -> None:
    secret = "0123456789" * 200
    redactor = Redactor([secret], max_length=100)
    for start in range(60, 110):
        text = redactor.text("x" * start + secret + "y" * 5000)
        assert "0" not in text.partition("[cut")[0]


def test_a_long_text_is_cut_visibly_and_tells_its_length() -> None:
    text = Redactor(max_length=64).text("x" * 1000)
    assert len(text) == 64
    assert text.endswith("… [cut: 1000 characters in all]")
    assert Redactor(max_length=64).text("x" * 64) == "x" * 64
    assert Redactor(max_length=64).text("x" * 65).endswith("… [cut: 65 characters in all]")


def test_terminal_control_is_removed() -> None:
    text = "\x1b[31mred\x1b[0m \x1b]0;title\x07a\x1b(Bb\x9b1mc\x00\x7f \u202eevil\u2066 over\rwrite\r\nend\x1b"
    assert redact(text) == "red ab1mc evil over\nwrite\nend"


def test_a_text_that_cannot_be_encoded_becomes_one_that_can() -> None:
    assert redact("a\ud800b").encode() == "a\ufffdb".encode()


def test_a_limit_too_small_for_its_own_mark_is_refused() -> None:
    with pytest.raises(ValueError, match="max_length must be at least 64, got 10"):
        Redactor(max_length=10)


def test_the_redactor_itself_shows_no_secret() -> None:
    assert SECRET not in repr(Redactor([SECRET]))
    assert "max_length=4096" in repr(Redactor([SECRET]))


@given(st.text())
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    assert redact(redact(text)) == redact(text)


@given(st.text(), st.text(min_size=SHORTEST_SECRET).filter(lambda s: len(s.strip()) >= SHORTEST_SECRET), st.text())
def test_no_configured_secret_survives(before: str, secret: str, after: str) -> None:
    redactor = Redactor([secret])
    shown = redactor.text(before + secret + after)
    clean = Redactor().text(secret).strip()
    assert clean in MASK or len(clean) < SHORTEST_SECRET or clean not in shown.replace(MASK, "\0")


PIECES = [
    "eyJ",
    "a",
    "://",
    "a@",
    "-----BEGIN PRIVATE KEY-----",
    "token=",
    "\x1b]",
    "'token', '",
    "Bearer ",
    "sk-",
    "A.",
]
PIECES += ["\\", '"', "'", " ", "=", ":", "--token ", "token", "\x1b[", "SG.", "1//0", "[redacted]", "x8Q~", "\n"]


@settings(max_examples=40)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join))
def test_the_work_grows_with_the_length_of_a_text_and_not_with_its_square(piece: str) -> None:
    # Time is not asserted. A quadratic pattern would take minutes here, and the limit of every test would end it.
    text = piece * (100_000 // len(piece))
    assert len(Redactor(["abcdefgh"], max_length=1_000_000).text(text)) <= 1_000_000
