"""Pure tensor functions: filter bases, the GLM neuron, neurons that spike once."""
