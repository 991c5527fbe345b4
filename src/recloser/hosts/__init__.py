"""Adapters for host frameworks."""
