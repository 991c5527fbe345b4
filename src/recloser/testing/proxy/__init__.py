"""A TCP proxy that makes a connection bad, in the vocabulary of toxiproxy; switchable while connections are open."""

from recloser.testing.proxy.kinds import KINDS, Attribute, Kind, Stream
from recloser.testing.proxy.proxy import FaultProxy, Toxic

__all__ = ["KINDS", "Attribute", "FaultProxy", "Kind", "Stream", "Toxic"]
