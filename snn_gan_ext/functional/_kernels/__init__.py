"""Compiled loops for the CPU; `snn_gan_ext.functional` asks for them where they can be used."""
