"""Four small MCP servers, each a process of its own: `python -m recloser.demo.servers.math_server --help`."""
