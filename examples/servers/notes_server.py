"""The demo's notes server: `python examples/servers/notes_server.py --help`; its source: recloser/demo/servers."""

from recloser.demo.servers.notes_server import main, server

main(server)
