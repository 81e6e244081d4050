"""Data sets, split and scaled."""

DATA_VARIABLE = "SNN_GAN_EXT_DATA"
"""Environment variable that names a folder of recordings and digits."""
