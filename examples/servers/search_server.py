"""The demo's search server: `python examples/servers/search_server.py --help`; its source: recloser/demo/servers."""

from recloser.demo.servers.search_server import main, server

main(server)
