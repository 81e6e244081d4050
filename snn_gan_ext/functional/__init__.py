"""Pure functions of tensors: no parameters, no state, noise as an argument.

- `bases`: temporal bases of synaptic and feedback filters.
- `glm`: generalized linear model neurons, their sampling and their closed-form gradients.
- `ttfs`: integrate-and-fire neurons that spike at most once, as functions of firing times.
"""

from snn_gan_ext.functional import bases, glm, ttfs

__all__ = ["bases", "glm", "ttfs"]
