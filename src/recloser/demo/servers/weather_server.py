"""The weather of a few cities. It never changes, so that everybody sees the same."""

from __future__ import annotations

from typing import Annotated, Final

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import BaseModel, Field

from recloser.demo.servers.serving import main


class Weather(BaseModel):
    """What `get_weather` answers."""

    city: str
    temperature: float = Field(description="Degrees Celsius")
    wind: float = Field(description="Kilometres per hour")
    sky: str
    summary: str = Field(description="All of it in one sentence")


DATA: Final = {
    "Berlin": (9.0, 18.0, "light rain"),
    "Cape Town": (24.0, 31.0, "clear"),
    "London": (11.0, 22.0, "overcast"),
    "New York": (15.0, 14.0, "sunny"),
    "Tokyo": (18.0, 9.0, "partly cloudy"),
}

READ_ONLY: Final = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)

server = MCPServer("Weather Server", instructions="Weather by city.", log_level="WARNING")


@server.tool(title="Weather", annotations=READ_ONLY)
async def get_weather(city: Annotated[str, Field(description="The city's English name")]) -> Weather:
    """Return the weather in a city."""
    for name, (temperature, wind, sky) in DATA.items():
        if name.casefold() == city.strip().casefold():
            summary = f"{name}: {temperature:g} C, {sky}, wind {wind:g} km/h"
            return Weather(city=name, temperature=temperature, wind=wind, sky=sky, summary=summary)
    raise ToolError(f"There is no weather for {city!r}. Known cities: {', '.join(DATA)}.")


@server.resource("weather://cities", title="Cities", mime_type="text/plain")
async def cities() -> str:
    """List the cities that have weather, one a line."""
    return "\n".join(DATA)


if __name__ == "__main__":
    main(server)
