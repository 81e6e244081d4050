"""Compiled loops for the CPU; `snn_gan_ext.core` asks for them where they can be used."""
