"""Codes between images or event recordings and spikes."""
