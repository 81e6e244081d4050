from . import brian, datasets, functional, metrics
from .algorithms.bayes import BayesSpikeGAN
from .algorithms.full_likelihood import FullLikelihood, choose_penalty
from .algorithms.image_gan import ImageGAN
from .algorithms.likelihood import MaximumLikelihood
from .algorithms.likelihood_first import LikelihoodFirst
from .algorithms.meta import MetaSpikeGAN
from .algorithms.moments import MomentMatching
from .algorithms.spikegan import SpikeGAN
from .algorithms.temporal_backprop import FiringTimes, TemporalBackprop
from .brian.network import BrianNetwork
from .coding.events import Binning, to_events
from .coding.images import rate_decode, rate_encode, time_surface_decode
from .coding.latency import latency_decode, latency_encode
from .datasets.event_frames import EventFrames
from .datasets.recordings import Recordings, open_recordings
from .datasets.spike_train_files import read_spike_trains, write_spike_trains
from .datasets.spike_trains import SpikeTrains
from .errors import InputError
from .experiments.compare import compare
from .experiments.runs import load_run
from .experiments.synthetic import SyntheticEvents
from .functional import bases, masks
from .layers.conv import GLMConv1d, GLMConv2d, GLMConvTranspose2d
from .layers.glm import GLMLayer
from .layers.recurrent import RGLMConv2d, RGLMLayer
from .layers.state import GLMSample, GLMState
from .layers.ttfs import TTFSLinear, TTFSRampLinear
from .networks.classifiers import SpikingClassifier
from .networks.discriminators import (
    IntervalDiscriminator,
    MLPDiscriminator,
    PrefixDiscriminator,
    TemporalDiscriminator,
)
from .networks.ensembles import DiscriminatorEnsemble, Ensemble
from .networks.generators import (
    ConditionalGenerator,
    ConvolutionalGenerator,
    StepResponseGenerator,
)
from .networks.glm import GLMNetwork
from .networks.modules import ModuleDiscriminator, ModuleGenerator
from .networks.population import PopulationGenerator
from .networks.ttfs import OnOffDiscriminator, TTFSClassifier, TTFSGenerator
from .registration import register, unregister
from .types import Batch, Schedule
from .version import __version__

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
    "FiringTimes",
    "FullLikelihood",
    "GLMConv1d",
    "GLMConv2d",
    "GLMConvTranspose2d",
    "GLMLayer",
    "GLMNetwork",
    "GLMSample",
    "GLMState",
    "ImageGAN",
    "InputError",
    "IntervalDiscriminator",
    "LikelihoodFirst",
    "MLPDiscriminator",
    "MaximumLikelihood",
    "MetaSpikeGAN",
    "ModuleDiscriminator",
    "ModuleGenerator",
    "MomentMatching",
    "OnOffDiscriminator",
    "PopulationGenerator",
    "PrefixDiscriminator",
    "RGLMConv2d",
    "RGLMLayer",
    "Recordings",
    "Schedule",
    "SpikeGAN",
    "SpikeTrains",
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
    "choose_penalty",
    "compare",
    "datasets",
    "functional",
    "latency_decode",
    "latency_encode",
    "load_run",
    "masks",
    "metrics",
    "open_recordings",
    "rate_decode",
    "rate_encode",
    "read_spike_trains",
    "register",
    "time_surface_decode",
    "to_events",
    "unregister",
    "write_spike_trains",
]
