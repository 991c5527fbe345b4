"""One session with one server: opened, watched, replaced when it dies, and closed by the task that opened it.

A [`Connection`][recloser.connection.Connection] is what an endpoint holds. It lives through *generations*: each is one
SDK session with one owner task. The next one connects while the last one closes.
"""

from recloser.connection.asks import Callbacks
from recloser.connection.lookout import Lookout
from recloser.connection.supervisor import Connection

__all__ = ["Callbacks", "Connection", "Lookout"]
