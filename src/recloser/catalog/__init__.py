"""The catalog: known tools, resources, resource templates and prompts of all servers."""

from recloser.catalog.bare import NamesCollideError
from recloser.catalog.catalog import Catalog
from recloser.catalog.entries import PromptEntry, ResourceEntry, ToolEntry
from recloser.catalog.listing import Listing
from recloser.catalog.names import qualify
from recloser.catalog.templates import template_variables
from recloser.catalog.view import Revisions

__all__ = [
    "Catalog",
    "Listing",
    "NamesCollideError",
    "PromptEntry",
    "ResourceEntry",
    "Revisions",
    "ToolEntry",
    "qualify",
    "template_variables",
]
