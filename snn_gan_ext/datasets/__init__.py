"""Data sets, split and scaled.

- `digits`, `mnist`: handwritten digits
- `event_files`, `event_frames`, `recordings`: event-camera recordings
- `patterns`: artificial firing modes of a neuron
- `ring`: coupled neurons on a ring
- `simulated_neurons`: detailed neurons in Brian2
- `tasks`: small tasks for meta-learning
"""

from pkgutil import iter_modules

import lazy_loader

submodules = [module.name for module in iter_modules(__path__)]
__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules)

DATA_VARIABLE = "SNN_GAN_EXT_DATA"
"""Environment variable with the path of a folder of recordings and digits."""
