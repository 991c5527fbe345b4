"""Short ways to make servers, listings and catalogs."""

import mcp_types as types

from recloser.catalog import Catalog, Listing
from recloser.events import CatalogChanged
from recloser.options import Server


def server(name, **options):
    return Server(name, command=f"{name}-mcp", **options)


def tool(name, *, description=None, meta=None, **hints):
    annotations = types.ToolAnnotations(**hints) if hints else None
    return types.Tool(
        name=name, description=description, input_schema={"type": "object"}, annotations=annotations, meta=meta
    )


def listing(*tools, resources=(), templates=(), prompts=(), **more):
    return Listing(
        tools=tuple(tool(each) if isinstance(each, str) else each for each in tools),
        resources=tuple(types.Resource(name="r", uri=uri) for uri in resources),
        templates=tuple(types.ResourceTemplate(name="t", uri_template=uri) for uri in templates),
        prompts=tuple(types.Prompt(name=name) for name in prompts),
        **more,
    )


class Heard(list):
    """A listener that keeps what it hears."""

    def __call__(self, event):
        assert isinstance(event, CatalogChanged)
        self.append(event)


def catalog(*servers, names="qualified", **listings):
    """Return a catalog of the given servers (or of those that are listed), listed as given, and its listener."""
    heard = Heard()
    made = Catalog(servers or [server(name) for name in listings], names=names, emit=heard)
    for name, each in listings.items():
        made.update(name, each)
    heard.clear()
    return made, heard


def shown(made, **options):
    return [each.name for each in made.list_tools(**options)]
