r"""A network of GLM layers as a Brian2 `Network`.

Each layer becomes a `NeuronGroup`. Its membrane potential is the log-odds of a spike:

.. code-block:: none

    u = bias + drive : 1
    threshold: rand() < 1 / (1 + exp(-u))

Each filter becomes one delayed synapse for every lag, which adds the filter's tap to ``drive``. Within
a time step each layer in turn receives its input, fires, and clears its drive. So an input without
delay acts in its own step, as in a `GLMNetwork`. Neurons that hear each other within a step fire level
by level: each level has an event of its own, which marks its neurons and drives the levels above; the
marked ones then spike.

Trials run one after another. The silent pauses between them are as long as the longest filter.
"""

import math
import re
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from snn_gan_ext.errors import InputError
from snn_gan_ext.layers.base import GLMNeurons
from snn_gan_ext.layers.state import GLMFilters
from snn_gan_ext.networks.glm import GLMNetwork
from snn_gan_ext.validation import (
    above,
    check_setting,
    check_shapes,
    check_uniforms,
    check_values,
    one_of,
    plain,
    require,
)

__all__ = ["BrianNetwork", "Target", "require_brian2", "use_target"]

Target = Literal["numpy", "cython", "cpp_standalone"]

EQUATIONS = """
u = bias + drive : 1   # membrane potential: the log-odds of a spike
bias : 1 (constant)
drive : 1              # sum of the synapses' taps in this time step
"""

EQUATIONS_OF_LEVELS = """
u = bias + drive + effects(earlier * dt) : 1
bias : 1 (constant)
drive : 1
level : integer (constant)
earlier : 1            # spikes of lower levels in this time step
fired : boolean        # of this time step
"""

CURE = 'pip install brian2 elephant "numpy<2.4", or ".[brian2]" in a clone'
START = "start of the trials"  # name of Brian2's snapshot of a network
BRIAN_NAME = re.compile(r"(?!before_|after_)[A-Za-z_][A-Za-z0-9_]*")


def require_brian2() -> Any:
    """Return the module ``brian2``.

    Raises:
        InputError: If Brian2 is not installed, or fails on import.
    """
    brian2, pyparsing = require("brian2", CURE), require("pyparsing", CURE)
    # Brian2 uses old names of its parser library, which warns at every equation.
    changed = getattr(pyparsing, "PyparsingDeprecationWarning", None)
    if changed is not None:
        warnings.filterwarnings("ignore", category=changed)
    return brian2


@contextmanager
def use_target(target: Target) -> Iterator[None]:
    """Set the target of Brian2's code generation, and restore the previous one afterwards.

    Args:
        target: ``numpy`` (starts at once), ``cython`` (compiles for a minute or two at first), or
            ``cpp_standalone`` (compiles a program for each network).

    Raises:
        InputError: If Brian2 is missing or the target is unknown.
    """
    brian2 = require_brian2()
    check_setting("target", target, one_of(Target))
    before, standalone = brian2.prefs.codegen.target, target == "cpp_standalone"
    with tempfile.TemporaryDirectory() as folder:
        if standalone:
            brian2.set_device(target, directory=folder, build_on_run=True)
        else:
            brian2.prefs.codegen.target = target
        try:
            yield
        finally:
            brian2.prefs.codegen.target = before
            if standalone:
                brian2.device.reinit()
                brian2.set_device("runtime")


class _Stage(NamedTuple):
    """A layer's filters.

    Attributes:
        synaptic: Synaptic filters ``[M, I, N]`` by source.
        own: Filters between its neurons over lags 1 .. L, ``[L, N, N]``; the diagonal is feedback.
        now: Effects within a step ``[N, N]``.
        levels: Level of each neuron within a step ``[N]``.
        counts: Effects of 0, 1, 2, ... spikes of lower levels.
        bias: Biases ``[N]``.
        sizes: Sizes of the layer.
    """

    synaptic: dict[str, Tensor]
    own: Tensor
    now: Tensor
    levels: Tensor
    counts: Tensor
    bias: Tensor
    sizes: tuple[int, ...]


class BrianNetwork:
    """GLM layers in Brian2 with their inputs and, for a replay, their noise.

    Args:
        network: A `GLMNetwork`, or a single layer named ``layer`` with the input ``input``.
        exogenous: Spikes ``[T, B, *size]`` by input, zeros and ones.
        uniforms: Noise ``[T, B, *size]`` in [0, 1) by layer, for exactly the same spikes. By default
            Brian2 draws its own, which ``brian2.seed`` makes repeatable.
        dt: Length of a time step in seconds.

    Attributes:
        network: Brian2's `Network`.
        groups: Brian2's `NeuronGroup` by layer, and `SpikeGeneratorGroup` by input that has neurons.
        synapses: Brian2's `Synapses` by "source to target".
        monitors: Brian2's `SpikeMonitor` by layer.
        names: Names of layers and inputs in Brian2. If one of them is not possible there, such as
            "layer 1", all are ``part_0``, ``part_1`` and so on.

    Raises:
        InputError: If Brian2 is missing, inputs are not zeros and ones, or sizes do not match.
    """

    def __init__(
        self,
        network: GLMNetwork | GLMNeurons,
        exogenous: Mapping[str, Tensor],
        uniforms: Mapping[str, Tensor] | None = None,
        dt: float = 1e-3,
    ) -> None:
        self._brian = require_brian2()
        check_setting("dt", dt, above(0))
        self.dt = dt * self._brian.second
        self._stages = _stages(network, exogenous)
        self._shape = self.num_steps, self.trials = next(iter(exogenous.values())).shape[:2]
        filters = [taps for x in self._stages.values() for taps in (*x.synaptic.values(), x.own)]
        self._period = self.num_steps + max(map(len, filters))
        self._has_run = False
        names = [*exogenous, *self._stages]
        possible = all(map(BRIAN_NAME.fullmatch, names))
        self.names = {x: x if possible else f"part_{place}" for place, x in enumerate(names)}
        self.network = self._brian.Network()
        self.groups: dict[str, Any] = {}
        self.synapses: dict[str, Any] = {}
        self.monitors: dict[str, Any] = {}
        for name, spikes in exogenous.items():
            if spikes[0, 0].numel():  # Brian2 has no empty groups
                self._add_input(name, spikes)
        for name, stage in self._stages.items():
            self._add_neurons(name, stage, uniforms)
        for name, stage in self._stages.items():
            for source, taps in stage.synaptic.items():  # from a later layer, it acts one step later
                self._add_synapses(source, name, taps)
            # A layer receives its own spikes in the next step: the first lag needs no delay.
            self._add_synapses(name, name, stage.own)
            if stage.levels.any():
                self._add_levels(name, stage)
        # A time step: inputs, then each layer in turn, then Brian2's own slots.
        inputs = [self._slot(name, "fires") for name in exogenous]
        layers = []
        for name, stage in self._stages.items():
            in_turn = [
                x for level in range(_levels(stage)) for x in (f"fires_{level}", f"hears_{level}")
            ]
            layers += [self._slot(name, x) for x in ("receives", *in_turn, "fires", "clears")]
        brians = ["groups", "thresholds", "synapses", "resets", "end"]
        self.network.schedule = ["start", *inputs, *layers, *brians]

    def run(self) -> dict[str, Tensor]:
        """Simulate all trials; return spikes ``[T, B, *size]`` by layer, zeros and ones, on the CPU.

        Every run starts from the state in which the first one started, and draws Brian2's noise afresh.
        Brian2 discards what monitors recorded in the run before.

        Raises:
            InputError: If an object was added to or removed from `network` since the first run, or this
                is the second run on one build of ``cpp_standalone``.
        """
        self._rewind()
        with np.errstate(over="ignore"):  # exp(-u) of silent neurons is infinite, and their rate 0
            self.network.run(self.trials * self._period * self.dt, namespace={})
        self._has_run = True
        return {name: self._spikes(name) for name in self._stages}

    def _rewind(self) -> None:
        """Go back to the start, which is stored before the first run."""
        built = getattr(self._brian.get_device(), "has_been_run", None)
        if built:
            cure = "make and run each network in a use_target(...) of its own"
            expected = "one run on each build of cpp_standalone"
            raise InputError("run", expected=expected, got="a second", cure=cure)
        if built is not None:  # standalone programs cannot be rewound
            return
        try:
            self.network.restore(START) if self._has_run else self.network.store(START)
        except KeyError:
            cure = "add monitors before the first run, or make another BrianNetwork"
            expected, got = "the Brian2 objects of the first run", "more or fewer of them"
            raise InputError("network", expected=expected, got=got, cure=cure) from None

    def _slot(self, name: str, does: str) -> str:
        """Return the slot of Brian2's schedule in which a layer or an input acts."""
        return f"{self.names[name]}_{does}"

    def _add_input(self, name: str, spikes: Tensor) -> None:
        clock, index = np.nonzero(self._on_the_clock(spikes.flatten(2), 0.0))
        options = {"dt": self.dt, "when": self._slot(name, "fires"), "name": self._slot(name, "spikes")}
        self.groups[name] = self._brian.SpikeGeneratorGroup(
            math.prod(spikes.shape[2:]), index, clock * self.dt, **options
        )
        self.network.add(self.groups[name])

    def _add_neurons(self, name: str, stage: _Stage, uniforms: Mapping[str, Tensor] | None) -> None:
        on = self._on_the_clock(torch.ones(*self._shape, 1), 0.0)[:, 0]
        known = {"active": self._brian.TimedArray(on, dt=self.dt)}
        if uniforms is not None:
            if name not in uniforms:
                raise InputError("uniforms", expected=f"noise of {name!r}", got=f"{list(uniforms)}")
            check_uniforms(uniforms[name], (*self._shape, *stage.sizes))
            values = self._on_the_clock(uniforms[name].flatten(2), 1.0)
            known["uniforms"] = self._brian.TimedArray(values, dt=self.dt)
        noise = "rand()" if uniforms is None else "uniforms(t, i)"
        fires = f"{noise} < active(t) / (1 + exp(-u))"
        levels = range(_levels(stage))
        if levels:
            known["effects"] = self._brian.TimedArray(plain(stage.counts).double().numpy(), dt=self.dt)
        model = {
            "model": EQUATIONS if not levels else EQUATIONS_OF_LEVELS,
            "threshold": "fired" if levels else fires,
            "events": {f"level_{x}": f"level == {x} and {fires}" for x in levels},
            "reset": "",
            "namespace": known,
        }
        options = {"dt": self.dt, "name": self._slot(name, "neurons")}
        group = self._brian.NeuronGroup(len(stage.bias), **model, **options)
        group.bias = stage.bias.double().numpy()
        group.thresholder["spike"].when = self._slot(name, "fires")
        for level in levels:
            slot = self._slot(name, f"fires_{level}")
            group.thresholder[f"level_{level}"].when = slot
            group.run_on_event(f"level_{level}", "fired = True", when=slot, order=1)
        if levels:
            group.level = stage.levels.numpy()
        clear = "drive = 0; earlier = 0; fired = False" if levels else "drive = 0"
        group.run_regularly(clear, dt=self.dt, when=self._slot(name, "clears"))
        self.groups[name] = group
        self.monitors[name] = self._brian.SpikeMonitor(group, name=self._slot(name, "monitor"))
        self.network.add(group, self.monitors[name])

    def _add_levels(self, name: str, stage: _Stage) -> None:
        """Let each level's spikes drive the higher levels in the same step."""
        pre, post = (stage.levels[:, None] < stage.levels).nonzero(as_tuple=True)
        events = {f"hears_{level}": f"level_{level}" for level in range(_levels(stage))}
        effect = "drive_post += w; earlier_post += 1"
        synapses = self._brian.Synapses(
            self.groups[name],
            model="w : 1 (constant)",
            on_pre=dict.fromkeys(events, effect),
            on_event=events,
            dt=self.dt,
            name=self._slot(name, "within_a_step"),
        )
        synapses.connect(i=pre.numpy(), j=post.numpy())
        synapses.w = stage.now[pre, post].double().numpy()
        for pathway in events:
            getattr(synapses, pathway).when = self._slot(name, pathway)
        self.network.add(synapses)
        self.synapses[f"{name} within a step"] = synapses

    def _add_synapses(self, source: str, target: str, taps: Tensor) -> None:
        """Add a synapse for each nonzero tap ``[M, I, N]`` of a lag, a source and a target."""
        lag, pre, post = taps.nonzero(as_tuple=True)
        if not len(lag):
            return
        model = {"model": "w : 1 (constant)", "on_pre": "drive_post += w"}
        # The number keeps "a_to_b" to "c" apart from "a" to "b_to_c".
        number = len(self.network.objects)
        path = f"{self.names[source]}_to_{self.names[target]}_{number}"
        options = {"dt": self.dt, "name": path}
        synapses = self._brian.Synapses(self.groups[source], self.groups[target], **model, **options)
        synapses.connect(i=pre.numpy(), j=post.numpy())
        synapses.w = taps[lag, pre, post].double().numpy()
        synapses.delay = lag.numpy() * self.dt
        synapses.pre.when = self._slot(target, "receives")
        self.network.add(synapses)
        self.synapses[f"{source} to {target}"] = synapses

    def _on_the_clock(self, values: Tensor, in_pauses: float) -> np.ndarray:
        """Return trials ``[T, B, N]`` one after another, ``[B * (T + pause), N]``."""
        pause = values.new_full((self._period - self.num_steps, *values.shape[1:]), in_pauses)
        one_by_one = torch.cat([values, pause]).transpose(0, 1)
        return plain(one_by_one.flatten(0, 1)).double().numpy()

    def _spikes(self, name: str) -> Tensor:
        monitor, sizes = self.monitors[name], self._stages[name].sizes
        clock = np.rint(np.asarray(monitor.t / self.dt)).astype(int)
        spikes = torch.zeros(*self._shape, math.prod(sizes))
        spikes[clock % self._period, clock // self._period, np.asarray(monitor.i)] = 1
        return spikes.reshape(*self._shape, *sizes)


def _stages(network: GLMNetwork | GLMNeurons, exogenous: Mapping[str, Tensor]) -> dict[str, _Stage]:
    """Return the layers by name, in the order in which they run."""
    if isinstance(network, GLMNeurons):
        layers, inputs = {"layer": network}, ["input"]
        wiring: Mapping[str, tuple[str, ...]] = {"layer": ("input",)}
    elif isinstance(network, GLMNetwork):
        layers, inputs, wiring = dict(network.glm_layers()), list(network.inputs), network.wiring
    else:
        got = type(network).__name__
        raise InputError("network", expected="a GLMNetwork, GLMLayer or GLMConv2d", got=got)
    if set(exogenous) != set(inputs):
        raise InputError("exogenous", expected=f"spikes of {inputs}", got=f"{list(exogenous)}")
    check_shapes(**{name: (x, ("T", "B >= 1", *x.shape[2:])) for name, x in exogenous.items()})
    for name, spikes in exogenous.items():
        fits, cure = (spikes == 0) | (spikes == 1), "encode currents as spikes first"
        check_values(f"input {name!r}", spikes, fits, "zeros and ones", cure)
    sizes = {name: tuple(spikes.shape[2:]) for name, spikes in exogenous.items()}
    if isinstance(network, GLMNetwork):
        sizes |= {name: network.sizes[name] for name in layers}
    stages = {}
    for name, layer in layers.items():
        sources = wiring[name]
        widths = [math.prod(sizes[source]) for source in sources]
        size = sizes[sources[0]]
        if isinstance(network, GLMNetwork):
            parts = [network.input_size(name, source) for source in sources]
            size = (sum(part[0] for part in parts), *parts[0][1:])
        filters = layer.filters(size)
        sizes[name] = tuple(filters.bias.shape)
        flat = filters.synaptic.reshape(len(filters.synaptic), sum(widths), -1).cpu()
        synaptic = dict(zip(sources, torch.split(flat, widths, dim=1), strict=True))
        stages[name] = _Stage(
            synaptic, *_own_filters(filters), filters.bias.flatten().cpu(), sizes[name]
        )
    return stages


def _own_filters(filters: GLMFilters) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return a layer's filters between its neurons, effects within a step, levels, and of counts."""
    own, neurons = torch.diag_embed(filters.feedback.flatten(1).cpu()), filters.bias.numel()
    now, levels, none = own.new_zeros(neurons, neurons), torch.zeros(neurons).long(), own.new_zeros(1)
    if filters.coupling is None or filters.levels is None:
        return own, now, levels, none
    between = filters.coupling.reshape(-1, neurons, neurons).cpu()
    missing = own.new_zeros(len(between) - 1 - len(own), neurons, neurons)
    counts = none if filters.counts is None else torch.cat([none, filters.counts.detach().cpu()])
    return torch.cat([own, missing]) + between[1:], between[0], filters.levels.flatten().cpu(), counts


def _levels(stage: _Stage) -> int:
    """Return the number of levels that fire one after another; 0 where all fire together."""
    levels = int(stage.levels.max())
    return levels + 1 if levels else 0
