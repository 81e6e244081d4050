"""Generative adversarial learning of spike-train distributions, for snnTorch.

``import snn_gan_ext as sg`` gives layers, networks and algorithms as ``sg.GLMLayer``, ``sg.SpikeGAN``
and so on, and the namespaces ``sg.bases``, ``sg.functional``, ``sg.metrics``, ``sg.datasets`` and
``sg.brian``. Each is imported when first used; ``__init__.pyi`` lists them. The layers are also
registered in snnTorch: ``snntorch.GLMLayer``.
"""

import lazy_loader

from snn_gan_ext._plugin import register_with_snntorch

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

register_with_snntorch()
