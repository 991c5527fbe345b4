"""Policies: one idea a file, one shape, none knows another."""
