"""Tensors to numbers: how good are the samples?"""
