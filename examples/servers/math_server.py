"""The demo's math server: `python examples/servers/math_server.py --help`; its source: recloser/demo/servers."""

from recloser.demo.servers.math_server import main, server

main(server)
