"""Generative adversarial learning of spike-train distributions, for snnTorch.

``import snn_gan_ext as sg`` gives layers, networks and algorithms as ``sg.GLMLayer``, ``sg.SpikeGAN``
and so on, and the namespaces ``sg.bases``, ``sg.functional``, ``sg.metrics``, ``sg.datasets`` and
``sg.brian``. Each is imported when first used. The layers are also registered in snnTorch:
``snntorch.GLMLayer``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from snn_gan_ext._plugin import register_with_snntorch
from snn_gan_ext.errors import InputError
from snn_gan_ext.version import __version__

if TYPE_CHECKING:
    from snn_gan_ext import brian, datasets, functional, metrics
    from snn_gan_ext.algorithms.bayes import BayesSpikeGAN
    from snn_gan_ext.algorithms.image_gan import ImageGAN
    from snn_gan_ext.algorithms.likelihood import MaximumLikelihood
    from snn_gan_ext.algorithms.meta import MetaSpikeGAN
    from snn_gan_ext.algorithms.spikegan import SpikeGAN
    from snn_gan_ext.algorithms.temporal_backprop import TemporalBackprop
    from snn_gan_ext.brian.network import BrianNetwork
    from snn_gan_ext.coding.events import Binning, to_events
    from snn_gan_ext.coding.images import rate_decode, rate_encode, time_surface_decode
    from snn_gan_ext.coding.latency import latency_decode, latency_encode
    from snn_gan_ext.datasets.event_frames import EventFrames
    from snn_gan_ext.datasets.recordings import Recordings, open_recordings
    from snn_gan_ext.experiments.runs import load_run
    from snn_gan_ext.experiments.synthetic import SyntheticEvents
    from snn_gan_ext.functional import bases
    from snn_gan_ext.layers.conv import GLMConv2d, GLMConvTranspose2d
    from snn_gan_ext.layers.glm import GLMLayer
    from snn_gan_ext.layers.register import register, unregister
    from snn_gan_ext.layers.state import GLMSample, GLMState
    from snn_gan_ext.layers.ttfs import TTFSLinear, TTFSRampLinear
    from snn_gan_ext.networks.classifiers import SpikingClassifier
    from snn_gan_ext.networks.discriminators import (
        IntervalDiscriminator,
        MLPDiscriminator,
        TemporalDiscriminator,
    )
    from snn_gan_ext.networks.ensembles import DiscriminatorEnsemble, Ensemble
    from snn_gan_ext.networks.generators import (
        ConditionalGenerator,
        ConvolutionalGenerator,
        StepResponseGenerator,
    )
    from snn_gan_ext.networks.glm import GLMNetwork
    from snn_gan_ext.networks.ttfs import OnOffDiscriminator, TTFSClassifier, TTFSGenerator
    from snn_gan_ext.types import Batch, Schedule

_PLACES = {
    "algorithms.bayes": ("BayesSpikeGAN",),
    "algorithms.image_gan": ("ImageGAN",),
    "algorithms.likelihood": ("MaximumLikelihood",),
    "algorithms.meta": ("MetaSpikeGAN",),
    "algorithms.spikegan": ("SpikeGAN",),
    "algorithms.temporal_backprop": ("TemporalBackprop",),
    "brian.network": ("BrianNetwork",),
    "coding.events": ("Binning", "to_events"),
    "coding.images": ("rate_decode", "rate_encode", "time_surface_decode"),
    "coding.latency": ("latency_decode", "latency_encode"),
    "datasets.event_frames": ("EventFrames",),
    "datasets.recordings": ("Recordings", "open_recordings"),
    "experiments.runs": ("load_run",),
    "experiments.synthetic": ("SyntheticEvents",),
    "layers.conv": ("GLMConv2d", "GLMConvTranspose2d"),
    "layers.glm": ("GLMLayer",),
    "layers.register": ("register", "unregister"),
    "layers.state": ("GLMSample", "GLMState"),
    "layers.ttfs": ("TTFSLinear", "TTFSRampLinear"),
    "networks.classifiers": ("SpikingClassifier",),
    "networks.discriminators": (
        "IntervalDiscriminator",
        "MLPDiscriminator",
        "TemporalDiscriminator",
    ),
    "networks.ensembles": ("DiscriminatorEnsemble", "Ensemble"),
    "networks.generators": (
        "ConditionalGenerator",
        "ConvolutionalGenerator",
        "StepResponseGenerator",
    ),
    "networks.glm": ("GLMNetwork",),
    "networks.ttfs": ("OnOffDiscriminator", "TTFSClassifier", "TTFSGenerator"),
    "types": ("Batch", "Schedule"),
}
_NAMESPACES = {
    "bases": "functional.bases",
    "brian": "brian",
    "datasets": "datasets",
    "functional": "functional",
    "metrics": "metrics",
}
_MODULES = {name: module for module, names in _PLACES.items() for name in names}

__all__ = [
    "Batch",
    "BayesSpikeGAN",
    "Binning",
    "BrianNetwork",
    "ConditionalGenerator",
    "ConvolutionalGenerator",
    "DiscriminatorEnsemble",
    "Ensemble",
    "EventFrames",
    "GLMConv2d",
    "GLMConvTranspose2d",
    "GLMLayer",
    "GLMNetwork",
    "GLMSample",
    "GLMState",
    "ImageGAN",
    "InputError",
    "IntervalDiscriminator",
    "MLPDiscriminator",
    "MaximumLikelihood",
    "MetaSpikeGAN",
    "OnOffDiscriminator",
    "Recordings",
    "Schedule",
    "SpikeGAN",
    "SpikingClassifier",
    "StepResponseGenerator",
    "SyntheticEvents",
    "TTFSClassifier",
    "TTFSGenerator",
    "TTFSLinear",
    "TTFSRampLinear",
    "TemporalBackprop",
    "TemporalDiscriminator",
    "__version__",
    "bases",
    "brian",
    "datasets",
    "functional",
    "latency_decode",
    "latency_encode",
    "load_run",
    "metrics",
    "open_recordings",
    "rate_decode",
    "rate_encode",
    "register",
    "time_surface_decode",
    "to_events",
    "unregister",
]


def __getattr__(name: str) -> Any:
    if name in _NAMESPACES:
        return import_module(f"{__name__}.{_NAMESPACES[name]}")
    if name in _MODULES:
        value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


register_with_snntorch()
