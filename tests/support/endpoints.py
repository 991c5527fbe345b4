"""What tests of an endpoint share: its policies, and the way to an open circuit."""

from recloser import Retry, Timeouts
from support.peers import Peer
from support.routers import hangs

ONCE = Retry(attempts=1)
SHORT = Timeouts(attempt=2, total=4)


def peer(**on):
    return Peer(on=on)


async def open_circuit(seen, peer):
    """Five calls that time out."""
    peer.on["broken"] = hangs
    await seen.endpoint.shared.ready()
    await seen.fail(5)
    assert seen.circuit.state == "open"
