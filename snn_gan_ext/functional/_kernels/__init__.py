"""Compiled loops for the CPU, used by `snn_gan_ext.functional` where they apply."""
