"""What tests of a router's servers share: peers that are down or silent, and a router that is open for a block."""

from contextlib import asynccontextmanager

from recloser import Router
from recloser.testing.leaks import no_leaks
from support.peers import Peer, Silence


async def silent(line, params):
    raise Silence


def hanging():
    """A peer that never becomes ready."""
    return Peer(on={"server/discover": silent, "initialize": silent})


@asynccontextmanager
async def opened(*servers, **options):
    async with no_leaks(), Router(*servers, **options) as router:
        yield router
