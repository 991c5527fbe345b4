"""Resilient routing in front of many MCP servers."""
