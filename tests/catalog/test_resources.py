"""How a URI leads to the server that can read it."""

import pytest
from builders import catalog, listing, server

from recloser.catalog import template_variables
from recloser.catalog.templates import matches
from recloser.errors import CriticalError


def found(made, uri, of=None):
    entry = made.resource(uri, of)
    return entry.server, entry.uri


def uris(made):
    return [each.uri for each in made.list_resources()]


def refused(made, uri, of=None):
    with pytest.raises(CriticalError) as caught:
        made.resource(uri, of)
    return caught.value.payload


def test_a_resource_is_found_by_its_own_uri_and_by_that_of_its_server():
    made, _ = catalog(a=listing(resources=["file:///x"]), b=listing(resources=["db://y"]))
    assert uris(made) == ["file:///x", "db://y"]
    assert found(made, "file:///x") == found(made, "a:file:///x") == found(made, "file:///x", "a") == ("a", "file:///x")
    assert found(made, "a:file:///x", "a") == ("a", "file:///x")
    assert made.resource("file:///x").resource.name == "r"


def test_a_uri_that_two_servers_have_is_shown_and_asked_for_with_the_server():
    made, _ = catalog(a=listing(resources=["file:///x"]), b=listing(resources=["file:///x", "file:///y"]))
    assert uris(made) == ["a:file:///x", "b:file:///x", "file:///y"]
    payload = refused(made, "file:///x")
    assert payload.code == "invalid_request"
    assert payload.message.endswith("say which: 'a:file:///x' and 'b:file:///x'")
    assert [found(made, uri) for uri in uris(made)] == [("a", "file:///x"), ("b", "file:///x"), ("b", "file:///y")]
    made.disable("a")
    assert uris(made) == ["file:///x", "file:///y"]
    assert found(made, "file:///x") == ("b", "file:///x")


def test_a_uri_that_looks_like_another_servers_is_shown_with_its_own():
    made, _ = catalog(a=listing(resources=["b:file:///x"]), b=listing(resources=["file:///x"]))
    assert uris(made) == ["a:b:file:///x", "file:///x"]
    assert found(made, "a:b:file:///x") == ("a", "b:file:///x")
    assert found(made, "b:file:///x") == ("b", "file:///x")


def test_a_uri_made_from_a_template_goes_to_whose_template_it_is():
    made, _ = catalog(
        a=listing(templates=["db://{table}"]), b=listing(templates=["db://{table}/{row}", "file:///{+path}"])
    )
    assert found(made, "db://users") == ("a", "db://users")
    assert found(made, "db://users/1") == ("b", "db://users/1")
    assert found(made, "file:///a/b/c") == ("b", "file:///a/b/c")
    entry = made.resource("db://users/1")
    assert entry.template.uri_template == "db://{table}/{row}"
    assert entry.resource is None


def test_a_uri_that_fits_the_templates_of_two_servers_is_refused_naming_both():
    made, _ = catalog(a=listing(templates=["file://{+path}"]), b=listing(templates=["file://{+path}"]))
    assert [each.uri_template for each in made.list_resource_templates()] == ["a:file://{+path}", "b:file://{+path}"]
    payload = refused(made, "file://me:s3cret@host/x")
    assert "'a:file://host/x' and 'b:file://host/x'" in payload.message
    assert "s3cret" not in payload.message
    assert found(made, "b:file:///x") == ("b", "file:///x")
    made.disable("a")
    assert found(made, "file:///x") == ("b", "file:///x")


def test_templates_are_shown_with_the_servers_own_uri_where_that_is_unique():
    made, _ = catalog(a=listing(templates=["db://{x}"]), b=listing(templates=["file:///{x}"]))
    assert [each.uri_template for each in made.list_resource_templates()] == ["db://{x}", "file:///{x}"]


def test_a_scheme_that_is_also_a_servers_name_is_taken_for_a_scheme():
    made, _ = catalog(file=listing("x"), disk=listing(templates=["file:///{+path}"]), urn=listing())
    assert found(made, "file:///etc/hosts") == ("disk", "file:///etc/hosts")
    assert found(made, "file:///etc/hosts", "file") == ("file", "file:///etc/hosts")
    assert found(made, "urn:isbn:1") == ("urn", "isbn:1")


def test_a_server_that_is_named_is_asked_for_what_it_has_not_listed():
    made, _ = catalog(server("a"), server("b"), a=listing("x"))
    assert found(made, "a:db://secret") == ("a", "db://secret")
    assert found(made, "b:db://secret") == ("b", "db://secret")
    assert found(made, "db://secret", "b") == ("b", "db://secret")
    assert found(made, "b:db://secret", "b") == ("b", "db://secret")


def test_a_uri_that_nobody_has_listed_is_refused_naming_who_offers_any():
    made, _ = catalog(server("a"), server("b"), server("c"), a=listing("x"), b=listing(resources=["db://y"]))
    payload = refused(made, "file://user:pass@host/x?key=s3cret")
    assert payload.message == (
        "No server has said that it offers the resource 'file://host/x'; say 'server:uri' to ask one of 'b' and 'c'"
    )


def test_a_uri_is_refused_where_no_server_offers_any():
    made, _ = catalog(a=listing("x"), b=listing("y"))
    assert refused(made, "file:///x").message.endswith("no server offers any")
    assert refused(made, "a:no-uri").code == "invalid_request"
    assert refused(made, "x:").code == "invalid_request"


def test_a_single_server_is_asked_for_anything():
    made, _ = catalog(a=listing("x"))
    assert found(made, "file:///never-listed") == ("a", "file:///never-listed")


def test_what_is_asked_for_unlisted_is_not_taken_for_listed():
    made, _ = catalog(a=listing(resources=["file:///x"], templates=["db://{table}"]), b=listing())
    for uri in ("file:///x", "a:file:///x", "db://{table}", "db://users", "a:db://users"):
        assert made.resource(uri).listed, uri
    assert made.resource("db://users", "a").listed
    assert not made.resource("file:///private", "a").listed
    assert not made.resource("a:file:///private").listed
    made.disable("b")
    assert not made.resource("file:///private").listed


def test_an_unknown_server_is_refused():
    made, _ = catalog(a=listing(resources=["db://y"]))
    assert refused(made, "db://y", "b").code == "unknown_server"


def test_resources_bear_tags():
    made, _ = catalog(server("a", tags={"t"}), server("b"), a=listing(resources=["r:1"]), b=listing(resources=["r:2"]))
    assert [each.uri for each in made.list_resources(tags={"t"})] == ["r:1"]
    assert made.list_resource_templates(tags={"t"}) == []


def test_a_resource_listed_twice_counts_once():
    made, _ = catalog(a=listing(resources=["r:1", "r:1"]))
    assert uris(made) == ["r:1"]


@pytest.mark.parametrize(
    ("template", "variables"),
    [
        ("file:///plain", []),
        ("file:///{name}", ["name"]),
        ("db://{table}/{row}{?limit,offset}", ["table", "row", "limit", "offset"]),
        ("{+path*}{#part}{&more:3}{/path*}", ["path", "part", "more"]),
        ("{}{ a , b }", ["a", "b"]),
        ("file:///{open", []),
    ],
)
def test_the_variables_of_a_template_are_named_in_order(template, variables):
    assert template_variables(template) == variables


@pytest.mark.parametrize(
    ("template", "uri", "fits"),
    [
        ("db://{table}", "db://users", True),
        ("db://{table}", "db://users/1", False),
        ("q://x{?a}", "q://x?a=1", True),
        # What the SDK does not support is held against the literal parts.
        ("file:///{a}{b}", "file:///xy", True),
        ("file:///{a}{b}", "http:///xy", False),
        ("f:{a:3}/mid/{b}.txt", "f:abc/mid/x.txt", True),
        ("f:{a:3}/mid/{b}.txt", "f:abc/x.txt", False),
        ("f:{a:3}/mid/{b}.txt", "f:/mid/.txt", True),
        ("f:{a:3}/mid/{b}.txt", "f:abc/mid/x.jpg", False),
        ("f:aa{x:1}aa", "f:aaa", False),
        ("plain{", "plain{", True),
        ("plain{", "other", False),
        ("plain}", "plain}", True),
        ("plain}", "other", False),
    ],
)
def test_a_uri_fits_a_template_or_not(template, uri, fits):
    assert matches(template, uri) is fits
