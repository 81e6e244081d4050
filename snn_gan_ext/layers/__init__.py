"""Spiking layers with the face of an snnTorch layer."""
