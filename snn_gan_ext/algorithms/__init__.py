"""Learning algorithms, one a file: frozen settings with ``init(...)`` and ``update(state, batch)``."""
