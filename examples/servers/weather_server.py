"""The demo's weather server: `python examples/servers/weather_server.py --help`; its source: recloser/demo/servers."""

from recloser.demo.servers.weather_server import main, server

main(server)
