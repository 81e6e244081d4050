"""Data sets, split and scaled.

- `digits`, `mnist`: handwritten digits
- `event_files`, `event_frames`, `recordings`: event-camera recordings
- `patterns`: artificial firing modes of a neuron
- `simulated_neurons`: detailed neurons in Brian2
- `tasks`: small tasks for meta-learning
"""

DATA_VARIABLE = "SNN_GAN_EXT_DATA"
"""Environment variable with the path of a folder of recordings and digits."""
