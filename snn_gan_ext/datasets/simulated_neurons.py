"""Recordings of detailed neurons, simulated in Brian2.

Trials are independent: each is another neuron with other noise. Recording starts when the neurons have
settled. Times are in seconds.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from snn_gan_ext.brian.network import require_brian2, use_target
from snn_gan_ext.errors import InputError
from snn_gan_ext.validation import SEED, check_setting, one_of, whole

__all__ = ["Neuron", "record"]

Neuron = Literal["lif", "adex", "chattering"]

CLOCK = 1e-4
"""Length of a step of the simulation in seconds."""


def record(
    neuron: Neuron, trials: int, num_steps: int, *, seed: int, dt: float = 1e-3, warm_up: float = 0.3
) -> Tensor:
    """Record spikes of independent neurons, one for each trial.

    The simulation takes steps of 0.1 ms on Brian2's numpy target. It restores the state of NumPy's
    global random source.

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
        InputError: If Brian2 is missing, the neuron is unknown, a size is below 1, or a time is out of
            bounds.

    References:
        Gerstner et al. (2014), "Neuronal Dynamics", chapter 9 (escape noise); Brette and Gerstner
        (2005); Izhikevich (2003).
    """
    _check(neuron, trials, num_steps, seed, dt, warm_up)
    brian2 = require_brian2()
    with use_target("numpy"), _seeded(brian2, seed):
        group, *others = MODELS[neuron](brian2, trials)
        network = brian2.Network(group, *others)
        before = round(warm_up / CLOCK)
        network.run(before * CLOCK * brian2.second, namespace={})
        monitor = brian2.SpikeMonitor(group)
        network.add(monitor)
        network.run(num_steps * dt * brian2.second, namespace={})
        ticks = np.rint(np.asarray(monitor.t) / CLOCK).astype(int) - before
        spikes = torch.zeros(num_steps, trials, 1)
        spikes[ticks // round(dt / CLOCK), np.asarray(monitor.i)] = 1
    return spikes


def _lif(brian2: Any, count: int) -> list[Any]:
    ms, mV, nS, Hz = brian2.ms, brian2.mV, brian2.nS, brian2.Hz  # noqa: N806
    group = brian2.NeuronGroup(
        count,
        """
        dv/dt = (gL * (EL - v) + ge * (Ee - v) + gi * (Ei - v)) / C : volt (unless refractory)
        dge/dt = -ge / tau_e : siemens
        dgi/dt = -gi / tau_i : siemens
        """,
        threshold="rand() < 1 - exp(-rho * exp((v - VT) / DeltaT) * dt)",
        reset="v = Vr",
        refractory=4 * ms,
        method="euler",
        namespace={
            "C": 200 * brian2.pF,
            "gL": 10 * nS,
            "EL": -70 * mV,
            "Ee": 0 * mV,
            "Ei": -80 * mV,
            "tau_e": 5 * ms,
            "tau_i": 10 * ms,
            "VT": -50 * mV,
            "DeltaT": 2 * mV,
            "rho": 0.1 / ms,
            "Vr": -60 * mV,
        },
        dt=CLOCK * brian2.second,
    )
    group.v = "EL"
    excitation = brian2.PoissonInput(group, "ge", 200, 5 * Hz, weight=2 * nS)
    inhibition = brian2.PoissonInput(group, "gi", 100, 10 * Hz, weight=1 * nS)
    return [group, excitation, inhibition]


def _adex(brian2: Any, count: int) -> list[Any]:
    ms, mV, nA = brian2.ms, brian2.mV, brian2.nA  # noqa: N806
    group = brian2.NeuronGroup(
        count,
        """
        dv/dt = (gL * (EL - v) + spike + I - w) / C : volt (unless refractory)
        spike = gL * DeltaT * exp((v - VT) / DeltaT) : amp
        dw/dt = (a * (v - EL) - w) / tau_w : amp
        dI/dt = (mu - I) / tau + sigma * sqrt(2 / tau) * xi : amp
        """,
        threshold="v > VT + 5 * DeltaT",
        reset="v = Vr; w += b",
        refractory=2 * ms,
        method="euler",
        namespace={
            "C": 281 * brian2.pF,
            "gL": 30 * brian2.nS,
            "EL": -70.6 * mV,
            "VT": -50.4 * mV,
            "DeltaT": 2 * mV,
            "tau_w": 50 * ms,
            "a": 4 * brian2.nS,
            "b": 0.3 * nA,
            "Vr": -48.4 * mV,
            "mu": 1 * nA,
            "sigma": 0.2 * nA,
            "tau": 5 * ms,
        },
        dt=CLOCK * brian2.second,
    )
    group.v = "EL"
    group.I = "mu"
    return [group]


def _chattering(brian2: Any, count: int) -> list[Any]:
    group = brian2.NeuronGroup(
        count,
        """
        dv/dt = (0.04 * v**2 + 5 * v + 140 - u + I) / ms : 1
        du/dt = a * (b * v - u) / ms : 1
        dI/dt = (mu - I) / tau + sigma * sqrt(2 / tau) * xi : 1
        """,
        threshold="v > 30",
        reset="v = c; u += d",
        method="euler",
        namespace={"a": 0.02, "b": 0.2, "c": -50, "d": 2, "mu": 5, "sigma": 3, "tau": 5 * brian2.ms},
        dt=CLOCK * brian2.second,
    )
    group.v = -65
    group.u = "b * v"
    group.I = "mu"
    return [group]


MODELS: dict[str, Callable[[Any, int], list[Any]]] = {
    "lif": _lif,
    "adex": _adex,
    "chattering": _chattering,
}


@contextmanager
def _seeded(brian2: Any, seed: int) -> Iterator[None]:
    """Seed Brian2, and restore NumPy's global random source afterwards."""
    before = np.random.get_state()  # noqa: NPY002 - Brian2 draws from it
    brian2.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


def _check(neuron: str, trials: int, num_steps: int, seed: int, dt: float, warm_up: float) -> None:
    check_setting("neuron", neuron, one_of(Neuron))
    check_setting("trials", trials, whole(1))
    check_setting("num_steps", num_steps, whole(1))
    check_setting("seed", seed, SEED)
    ticks = dt / CLOCK
    if not (0.5 < ticks < 10.5 and math.isclose(ticks, round(ticks), abs_tol=1e-6)):
        raise InputError("dt", expected="0.1 ms, 0.2 ms, ... 1 ms, in seconds", got=f"{dt}")
    if not 0 <= warm_up < math.inf:
        raise InputError("warm_up", expected="seconds, 0 or more", got=f"{warm_up}")
