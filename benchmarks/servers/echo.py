"""The server under every measurement: one echo tool, over stdio or streamable HTTP, written with the official SDK."""

import argparse

from mcp.server import MCPServer
from mcp_types import ToolAnnotations

server = MCPServer("echo", log_level="ERROR")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
async def echo(text: str) -> str:
    """Return the text."""
    return text


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    port = parser.parse_args().port
    if port is None:
        server.run()
    else:
        server.run(transport="streamable-http", port=port, json_response=True)
