"""Data sets, split and scaled."""
