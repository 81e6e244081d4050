"""Data sets, split and scaled.

- `digits`, `mnist`: handwritten digits
- `event_files`, `event_frames`, `recordings`: event-camera recordings
- `patterns`: artificial firing modes of a neuron
- `simulated_neurons`: detailed neurons in Brian2
- `tasks`: small tasks for meta-learning
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "digits",
        "event_files",
        "event_frames",
        "mnist",
        "patterns",
        "recordings",
        "simulated_neurons",
        "tasks",
    ],
)

DATA_VARIABLE = "SNN_GAN_EXT_DATA"
"""Environment variable with the path of a folder of recordings and digits."""
