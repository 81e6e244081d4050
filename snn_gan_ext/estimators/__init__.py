"""Signals to updates, each a small pure function."""
