"""`recloser chaos`: load and faults on purpose, and a verdict on every rule; the one command that uses `testing`."""

from recloser.cli.chaos.app import chaos

__all__ = ["chaos"]
