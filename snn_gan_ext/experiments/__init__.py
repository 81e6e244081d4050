"""Experiments: what they are, how they run, and what they leave behind."""
