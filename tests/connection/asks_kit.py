"""What servers ask, and our side's answers to it."""

import asyncio
import json

import mcp_types as types

from support.peers import Refusal, said

FORM = {"message": "What?", "requestedSchema": {"type": "object", "properties": {"answer": {"type": "string"}}}}
SAMPLING = {"messages": [{"role": "user", "content": {"type": "text", "text": "Say it."}}], "maxTokens": 5}
QUESTIONS = {
    "elicitation": ("elicitation/create", FORM),
    "sampling": ("sampling/createMessage", SAMPLING),
    "roots": ("roots/list", {}),
}


def our_side(delay=0.0, **more):
    """Callbacks that take their time."""

    async def sampling(context, params):
        await asyncio.sleep(delay)
        assert params.max_tokens > 0
        return types.CreateMessageResult(
            role="assistant", content=types.TextContent(type="text", text="42"), model="a-model"
        )

    async def elicitation(context, params):
        await asyncio.sleep(delay)
        assert params.message
        return types.ElicitResult(action="accept", content={"answer": "42"})

    async def roots(context):
        await asyncio.sleep(delay)
        return types.ListRootsResult(roots=[types.Root(uri="file:///home/me")])

    return {"sampling": sampling, "elicitation": elicitation, "roots": roots, **more}


def asking(peer, kind, answers=None):
    """Let the tool `ask` of a peer ask our side, in the era of the connection."""
    method, question = QUESTIONS[kind]

    async def handler(line, params):
        if not line.modern:
            try:
                return said(json.dumps(await line.ask(method, question)))
            except Refusal as refusal:
                return said(str(refusal), isError=True)
        if "inputResponses" in params:
            assert params["requestState"] == "so far"
            return said(json.dumps(params["inputResponses"]["q"]))
        asked = {"q": {"method": method, "params": question}}
        return {"resultType": "input_required", "inputRequests": asked, "requestState": "so far"}

    peer.on["ask"] = handler
    return peer
