"""GLM networks in Brian2, and tests of their equivalence. Needs the extra ``brian2``.

- `network`: a GLM network as a Brian2 ``Network``
- `equivalence`: comparison of spikes and statistics between this package and Brian2
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=["equivalence", "network"])
