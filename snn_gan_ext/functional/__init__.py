"""Pure functions of tensors: no parameters, no state, noise as an argument.

- `bases`: temporal bases of synaptic and feedback filters.
- `coupling`, `dense_coupling`, `frame_coupling`: neurons of a layer that hear each other.
- `masks`: connections between the neurons of a layer.
- `glm`: generalized linear model neurons, their sampling and their closed-form gradients.
- `ttfs`: integrate-and-fire neurons that spike at most once, as functions of firing times.
"""

from snn_gan_ext.functional import bases, coupling, dense_coupling, frame_coupling, glm, masks, ttfs

__all__ = ["bases", "coupling", "dense_coupling", "frame_coupling", "glm", "masks", "ttfs"]
