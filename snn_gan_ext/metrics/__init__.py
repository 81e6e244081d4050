"""Measures of samples.

- `c2st`: classifier two-sample tests
- `classifiers`: classifiers that score samples, TSTR and TRTS
- `distributions`: distances between sets of images
- `events`: statistics of event frames
- `first_spikes`: decisions by the first spike
- `images`: Frechet distance, inception score and classes covered
- `references`: reference samplers without a network
- `spike_trains`: statistics of single neurons' spike trains
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "c2st",
        "classifiers",
        "distributions",
        "events",
        "first_spikes",
        "images",
        "references",
        "spike_trains",
    ],
)
