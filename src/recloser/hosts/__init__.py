"""Putting the router under a host: its tool dispatcher, and the APIs of models."""

from recloser.hosts.dispatch import Dispatcher, SyncDispatcher

__all__ = ["Dispatcher", "SyncDispatcher"]
