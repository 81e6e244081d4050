"""GLM networks in Brian2, and tests of their equivalence. Needs the extra ``brian2``.

- `network`: a GLM network as a Brian2 ``Network``
- `equivalence`: comparison of spikes and statistics between this package and Brian2
"""
