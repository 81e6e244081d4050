"""Generators, discriminators and classifiers, made of layers."""
