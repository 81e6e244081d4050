"""Recordings of detailed neurons, simulated in Brian2.

Trials are independent: each is another neuron with other noise. Recording starts when the neurons have
settled. Times are in seconds.
"""

import math
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from snn_gan_ext.brian.network import require_brian2, use_target
from snn_gan_ext.errors import InputError
from snn_gan_ext.validation import SEED, at_least, check_positive, check_setting, one_of

__all__ = ["Neuron", "record"]

Neuron = Literal["lif", "adex", "chattering"]

CLOCK = 1e-4  # step of the simulation in seconds


def record(
    neuron: Neuron, trials: int, num_steps: int, *, seed: int, dt: float = 1e-3, warm_up: float = 0.3
) -> Tensor:
    """Record spikes of independent neurons, one for each trial.

    It runs in steps of 0.1 ms on Brian2's numpy target, and restores NumPy's global random source.

    Args:
        neuron: Model: ``lif`` (leaky integrate-and-fire with conductance synapses and escape noise; CV
            about 0.65), ``adex`` (adaptive exponential integrate-and-fire with short bursts; 0.7), or
            ``chattering`` (Izhikevich's model; long bursts, 1.7).
        trials: Number of neurons ``B``.
        num_steps: Number of time steps ``T``.
        seed: Seed of the simulation.
        dt: Length of a time step in seconds: a multiple of 0.1 ms, at most 1 ms, so that no step has
            two spikes.
        warm_up: Time before the recording in seconds, rounded to 0.1 ms.

    Returns:
        Spikes ``[T, B, 1]``, zeros and ones.

    Raises:
        InputError: If Brian2 is missing, the neuron is unknown, or a number is out of bounds.

    References:
        Gerstner et al. (2014), "Neuronal Dynamics", chapter 9 (escape noise); Brette and Gerstner
        (2005); Izhikevich (2003).
    """
    check_setting("neuron", neuron, one_of(Neuron))
    check_positive(trials=trials, num_steps=num_steps)
    check_setting("seed", seed, SEED)
    ticks = dt / CLOCK
    if not (0.5 < ticks < 10.5 and math.isclose(ticks, round(ticks), abs_tol=1e-6)):
        raise InputError("dt", expected="0.1 ms, 0.2 ms, ... 1 ms, in seconds", got=f"{dt}")
    check_setting("warm_up", warm_up, at_least(0))
    brian2 = require_brian2()
    before = np.random.get_state()  # noqa: NPY002 - Brian2 draws from it
    try:
        with use_target("numpy"):
            brian2.seed(seed)
            group, *inputs = _group(brian2, MODELS[neuron], trials)
            network = brian2.Network(group, *inputs)
            settled = round(warm_up / CLOCK)
            network.run(settled * CLOCK * brian2.second, namespace={})
            monitor = brian2.SpikeMonitor(group)
            network.add(monitor)
            network.run(num_steps * dt * brian2.second, namespace={})
            times = np.rint(np.asarray(monitor.t) / CLOCK).astype(int) - settled
            spikes = torch.zeros(num_steps, trials, 1)
            spikes[times // round(ticks), np.asarray(monitor.i)] = 1
            return spikes
    finally:
        np.random.set_state(before)  # noqa: NPY002


class _Model(NamedTuple):
    equations: str
    threshold: str
    reset: str
    constants: str  # values and units of the names in the equations
    start: dict[str, str]
    refractory: float = 0  # ms
    inputs: tuple[tuple[str, int, float, float], ...] = ()  # variable, sources, rate (Hz), weight (nS)


MODELS = {
    "lif": _Model(
        """
        dv/dt = (gL * (EL - v) + ge * (Ee - v) + gi * (Ei - v)) / C : volt (unless refractory)
        dge/dt = -ge / tau_e : siemens
        dgi/dt = -gi / tau_i : siemens
        """,
        threshold="rand() < 1 - exp(-rho * exp((v - VT) / DeltaT) * dt)",
        reset="v = Vr",
        constants="C 200 pF, gL 10 nS, EL -70 mV, Ee 0 mV, Ei -80 mV, tau_e 5 ms, tau_i 10 ms, "
        "VT -50 mV, DeltaT 2 mV, rho 100 Hz, Vr -60 mV",
        start={"v": "EL"},
        refractory=4,
        inputs=(("ge", 200, 5, 2), ("gi", 100, 10, 1)),
    ),
    "adex": _Model(
        """
        dv/dt = (gL * (EL - v) + spike + I - w) / C : volt (unless refractory)
        spike = gL * DeltaT * exp((v - VT) / DeltaT) : amp
        dw/dt = (a * (v - EL) - w) / tau_w : amp
        dI/dt = (mu - I) / tau + sigma * sqrt(2 / tau) * xi : amp
        """,
        threshold="v > VT + 5 * DeltaT",
        reset="v = Vr; w += b",
        constants="C 281 pF, gL 30 nS, EL -70.6 mV, VT -50.4 mV, DeltaT 2 mV, tau_w 50 ms, a 4 nS, "
        "b 0.3 nA, Vr -48.4 mV, mu 1 nA, sigma 0.2 nA, tau 5 ms",
        start={"v": "EL", "I": "mu"},
        refractory=2,
    ),
    "chattering": _Model(
        """
        dv/dt = (0.04 * v**2 + 5 * v + 140 - u + I) / ms : 1
        du/dt = a * (b * v - u) / ms : 1
        dI/dt = (mu - I) / tau + sigma * sqrt(2 / tau) * xi : 1
        """,
        threshold="v > 30",
        reset="v = c; u += d",
        constants="a 0.02, b 0.2, c -50, d 2, mu 5, sigma 3, tau 5 ms",
        start={"v": "-65", "u": "b * v", "I": "mu"},
    ),
}


def _group(brian2: Any, model: _Model, count: int) -> list[Any]:
    """Return neurons and their inputs."""
    constants = {}
    for constant in model.constants.split(", "):
        name, value, *unit = constant.split()
        constants[name] = float(value) * (getattr(brian2, unit[0]) if unit else 1)
    group = brian2.NeuronGroup(
        count,
        model.equations,
        threshold=model.threshold,
        reset=model.reset,
        refractory=model.refractory * brian2.ms if model.refractory else False,
        method="euler",
        namespace=constants,
        dt=CLOCK * brian2.second,
    )
    for name, value in model.start.items():
        setattr(group, name, value)
    inputs = [
        brian2.PoissonInput(group, variable, number, rate * brian2.Hz, weight=weight * brian2.nS)
        for variable, number, rate, weight in model.inputs
    ]
    return [group, *inputs]
