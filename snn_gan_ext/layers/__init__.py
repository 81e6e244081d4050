"""Spiking layers with the interface of snnTorch layers."""
