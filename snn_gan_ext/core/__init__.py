"""Pure tensor functions: filter bases and the GLM neuron. Imports nothing but torch."""
