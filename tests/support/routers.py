"""What tests of a router share: a peer that has something of everything, handlers, and short looks at answers."""

import asyncio

from support.peers import ALL, Peer, Silence


def now():
    return asyncio.get_running_loop().time()


async def hangs(line, params):
    raise Silence


def text(result):
    return result.content[0].text


def names(listed):
    return [one.name for one in listed]


def full(**on):
    """A peer that has something of everything."""
    peer = Peer(on=on)
    peer.capabilities = ALL

    def listing(key, *items):
        async def handler(line, params):
            return {key: list(items)}

        return handler

    async def read(line, params):
        return {"contents": [{"uri": params["uri"], "text": "inside"}]}

    async def prompt(line, params):
        told = {"role": "user", "content": {"type": "text", "text": f"{params['name']} {params['arguments']}"}}
        return {"messages": [told]}

    async def complete(line, params):
        return {"completion": {"values": [str(params["ref"]), str(params.get("context"))]}}

    peer.on |= {
        "resources/list": listing("resources", {"name": "note", "uri": "note://1"}),
        "resources/templates/list": listing("resourceTemplates", {"name": "notes", "uriTemplate": "page://{n}"}),
        "prompts/list": listing("prompts", {"name": "brief"}),
        "resources/read": read,
        "prompts/get": prompt,
        "completion/complete": complete,
    }
    return peer
