"""What of the things that a server is given is secret: by its name, by its place in a URL, a command line, a cookie."""

from __future__ import annotations

from base64 import b64encode

import pytest

from recloser.redact import secret_forms, secrets_of_arguments, secrets_of_named

BASIC = b64encode(b"joe:password-1").decode()
ALONE = b64encode(b"token-1:").decode()
THREE = {"word-1", "word-2", "word-3"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("mysql://root:password-1@h/x", {"password-1"}),
        ("jdbc:postgresql://u:password-1@h/x?sslmode=require&password=password-2", {"password-1", "password-2"}),
        ("redis://:password-1@h:1,redis://:password-2@h:2/0", {"password-1", "password-2"}),
        ('{"dsn": "amqp://u:password-1@h"}', {"password-1"}),
        ("postgresql://postgres@h/x", set()),
        ("ssh://deployer@h", set()),
        ("https://a-token@h/x", {"a-token"}),
        ("ssh://a-token-of-some-length@h", {"a-token-of-some-length"}),
        ("http://[::1/x", set()),
        ("plain", set()),
        ("Server=h;User Id=joe;Password=word-1;", {"word-1"}),
        ("host=h user=joe password='word 1' sslmode=require", {"word 1"}),
        ("https://h/x?key=word-1&sort_key=name#token=word-2", {"word-1", "word-2"}),
    ],
)
def test_the_secrets_of_a_url_are_known_under_whatever_name_and_in_whatever_text_it_is_given(
    text: str, found: set[str]
) -> None:
    assert set(secrets_of_named({"DATABASE_URL": text})) == found
    assert set(secrets_of_arguments([text])) == found
    assert set(secrets_of_arguments([f"--dsn={text}"])) == found


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--token", "word-1"], {"word-1"}),
        (["run", "--api-key=word-1", "--level=high"], {"word-1"}),
        (["-e", "API_KEY=word-1", "image"], {"word-1"}),
        (["--header", "Authorization: Bearer word-1"], {"Bearer word-1", "word-1"}),
        (["--header", "Cookie: sid=word-1; theme=dark"], {"sid=word-1; theme=dark", "word-1"}),
        (["--token", "-word-1"], {"-word-1"}),
        (["--token", "--verbose", "token"], set()),
        (["--no-auth", "production", "--password-stdin", "database"], set()),
        (["--header=X-Api-Key: word-1"], {"word-1"}),
        (["--header=X-Key: word-1", "--sort-key=created", "--key=server.pem"], {"word-1"}),
        (["-c", "export TOKEN='word-1'; npx x --api-key word-2 --level high"], {"word-1", "word-2"}),
        (["-c", "echo 'never closed --token"], set()),
        (["-c", f"echo {'x ' * 10_000} --token word-1"], set()),
        (["--token=", "production", "token", "database"], set()),
        (["--auth", "bearer", "--auth=oauth2"], set()),
    ],
)
def test_what_a_command_line_says_behind_the_name_of_a_secret_is_known(arguments: list[str], found: set[str]) -> None:
    assert set(secrets_of_arguments(arguments)) == found


def test_of_cookies_those_are_secret_that_are_long_or_say_so() -> None:
    given = "theme=dark-mode; sid=word-1; PHPSESSID=word-2; csrf_token=word%2F3; id=0123456789abcdef; alone"
    found = set(secrets_of_named({"COOKIES": given})) - {given}
    assert found == {"word-1", "word-2", "word%2F3", "word/3", "0123456789abcdef"}
    assert set(secrets_of_named({"MODE": given})) == {"word-2", "word%2F3"}  # what their own names say


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (f"Basic {BASIC}", {f"Basic {BASIC}", BASIC, "password-1"}),
        (f"basic {BASIC.rstrip('=')}", {f"basic {BASIC.rstrip('=')}", BASIC.rstrip("="), "password-1"}),
        (f"Basic {ALONE}", {f"Basic {ALONE}", ALONE, "token-1"}),
        ("Basic a", {"Basic a", "a"}),
        ("Basic /w==", {"Basic /w==", "/w=="}),
        ("Bearer", set()),
    ],
)
def test_the_password_within_basic_is_a_secret_too(value: str, found: set[str]) -> None:
    assert set(secret_forms(value)) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"apiKey": "word-1", "level": "high"}', {"word-1"}),
        (' {"Authorization": "Bearer word-1", "Notion-Version": "2022-06-28"}', {"Bearer word-1", "word-1"}),
        ('{"db": {"dsn": "mysql://root:word-1@h/x", "token": ["word-2", {"secret": "word-3"}, 4]}}', THREE),
        ('[{"password": "word \\"1\\""}, null, true]', {'word "1"'}),
        ('{"settings": "{\\"api_key\\": \\"word-1\\"}"}', {"word-1"}),
        ('{"apiKey": "word-1"', set()),
        ('[{"key": "anything", "value": "more"}]', set()),
        ("[" * 100_000, set()),
        ("{0}", set()),
    ],
)
def test_what_goes_by_the_name_of_a_secret_in_a_document_of_json_is_known(text: str, found: set[str]) -> None:
    assert set(secrets_of_named({"OPENAPI_MCP_HEADERS": text})) == found
    assert set(secrets_of_arguments(["run", "--config", text])) == found
    assert set(secrets_of_arguments([f"--config={text}"])) == found


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("STRIPE_KEY", {"word-1,word-2"}),
        ("KEY", {"word-1,word-2"}),
        ("X-Key", {"word-1,word-2"}),
        ("DD-APPLICATION-KEY", {"word-1,word-2"}),
        ("API_KEYS", {"word-1,word-2", "word-1", "word-2"}),
        ("signingKeys", {"word-1,word-2", "word-1", "word-2"}),
        ("S3_KEY", {"word-1,word-2"}),
        ("PUBLIC_KEY", set()),
        ("PARTITION_KEY", set()),
        ("KEY_ID", set()),
        ("MONKEY", set()),
    ],
)
def test_a_key_among_variables_and_headers_is_a_secret_unless_it_is_of_another_kind(name: str, found: set[str]) -> None:
    assert set(secrets_of_named({name: "word-1,word-2"})) == found
