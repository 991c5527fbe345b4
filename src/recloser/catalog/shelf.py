"""One server's part of the catalog."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import TypeVar

import mcp_types as types

from recloser.catalog.entries import Mark, PromptEntry, ResourceEntry, ToolEntry, is_safe, marked, tags_of
from recloser.catalog.listing import Listing
from recloser.catalog.names import qualify
from recloser.catalog.view import View
from recloser.options import Server

__all__ = ["Shelf"]

_log = logging.getLogger("recloser")

T = TypeVar("T")


class Shelf:
    """What is known of one server. Changed by the catalog alone."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.listing: Listing | None = None
        """The last good one, perhaps of an earlier run; None until there is one."""
        self.confirmed = False
        """Whether it is of this run, so that what it does not name does not exist."""
        self.mark = Mark()
        self.offered_tools: dict[str, types.Tool] = {}
        """What the configuration lets be seen of the listing, by the server's own names, as are the prompts."""
        self.offered_prompts: dict[str, types.Prompt] = {}
        self.tools: dict[str, ToolEntry] = {}
        """Made from what is offered, as are the prompts; resources and templates stand by the server's own URIs."""
        self.prompts: dict[str, PromptEntry] = {}
        self.resources: dict[str, ResourceEntry] = {}
        self.templates: dict[str, ResourceEntry] = {}
        self.told = View()
        """What listeners have last been told."""

    @property
    def name(self) -> str:
        """The server's name."""
        return self.server.name

    def shows(self, own: str) -> bool:
        """Return whether the configuration lets a tool of this name be seen."""
        server = self.server
        if server.include and not any(fnmatchcase(own, pattern) for pattern in server.include):
            return False
        return not any(fnmatchcase(own, pattern) for pattern in server.exclude)

    def take(self, listing: Listing | None) -> None:
        """Set the listing; the entries are made from it afterwards."""
        self.listing = listing
        offered = listing or Listing()
        tools = self._distinct("tool", offered.tools, lambda tool: tool.name)
        self.offered_tools = {own: tool for own, tool in tools.items() if self.shows(own)}
        self.offered_prompts = self._distinct("prompt", offered.prompts, lambda prompt: prompt.name)

    def tool_entry(self, own: str, bare: bool) -> ToolEntry:
        """Return the entry of an offered tool, shown under its own name or the qualified one."""
        tool = self.offered_tools[own]
        qualified = qualify(self.name, own)
        name = own if bare else qualified
        return ToolEntry(
            name=name,
            qualified=qualified,
            server=self.name,
            own=own,
            tool=tool,
            shown=marked(tool, self.name, self.mark, name=name),
            safe=is_safe(self.server, own, tool.annotations),
            tags=tags_of(self.server, own, tool.meta),
        )

    def prompt_entry(self, own: str, bare: bool) -> PromptEntry:
        """Return the entry of an offered prompt, shown under its own name or the qualified one."""
        prompt = self.offered_prompts[own]
        qualified = qualify(self.name, own)
        name = own if bare else qualified
        shown = marked(prompt, self.name, self.mark, name=name)
        tags = tags_of(self.server, "", prompt.meta)
        return PromptEntry(
            name=name, qualified=qualified, server=self.name, own=own, prompt=prompt, shown=shown, tags=tags
        )

    def guessed_tool(self, qualified: str, own: str) -> ToolEntry | None:
        """Return the entry of a tool that this server, still to be listed, may have; None if it is not to be seen."""
        if not self.shows(own):
            return None
        safe, tags = is_safe(self.server, own), tags_of(self.server, own)
        return ToolEntry(name=qualified, qualified=qualified, server=self.name, own=own, safe=safe, tags=tags)

    def guessed_prompt(self, qualified: str, own: str) -> PromptEntry:
        """Return the entry of a prompt that this server, still to be listed, may have."""
        return PromptEntry(name=qualified, qualified=qualified, server=self.name, own=own, tags=self.server.tags)

    def stock_resources(self) -> None:
        """Make the entries of all resources and templates anew."""
        listing = self.listing or Listing()
        resources = self._distinct("resource", listing.resources, lambda resource: resource.uri)
        templates = self._distinct("resource template", listing.templates, lambda template: template.uri_template)
        self.resources = {uri: self._resource_entry(uri, resource=resource) for uri, resource in resources.items()}
        self.templates = {uri: self._resource_entry(uri, template=template) for uri, template in templates.items()}

    def _resource_entry(
        self, uri: str, *, resource: types.Resource | None = None, template: types.ResourceTemplate | None = None
    ) -> ResourceEntry:
        shown: types.Resource | types.ResourceTemplate
        if resource is not None:
            meta, shown = resource.meta, marked(resource, self.name, self.mark)
        else:
            assert template is not None
            meta, shown = template.meta, marked(template, self.name, self.mark)
        tags = tags_of(self.server, "", meta)
        return ResourceEntry(server=self.name, uri=uri, resource=resource, template=template, shown=shown, tags=tags)

    def _distinct(self, what: str, offered: Iterable[T], key: Callable[[T], str]) -> dict[str, T]:
        """Return what is offered by its key; of two with one key the first counts, as it does for most servers."""
        found: dict[str, T] = {}
        repeated = 0
        for each in offered:
            repeated += found.setdefault(key(each), each) is not each
        if repeated:
            _log.warning("server %s lists %d %ss twice; the first of each counts", self.name, repeated, what)
        return found
