"""Measures of samples.

- `c2st`: classifier two-sample tests
- `classifiers`: classifiers that score samples, TSTR and TRTS
- `distributions`: distances between sets of images
- `events`: statistics of event frames
- `first_spikes`: decisions by the first spike
- `images`: Frechet distance, inception score and classes covered
- `populations`: statistics of populations of neurons
- `references`: reference samplers without a network
- `spike_trains`: statistics of single neurons' spike trains
"""

from pkgutil import iter_modules

import lazy_loader

submodules = [module.name for module in iter_modules(__path__)]
__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules)
