"""A stochastic GLM layer in a Norse model, which passes its state as it does for Norse's own neurons.

Usage: pip install norse; python examples/norse_layer.py
"""

import norse.torch as norse
import torch
from torch import nn

import snn_gan_ext as sg


def main() -> None:
    torch.manual_seed(0)
    linear, glm = nn.Linear(20, 30), sg.GLMLayer(30, 10)
    x = 4 * torch.rand(25, 5, 20)

    net = norse.SequentialState(linear, norse.LIFCell(), glm)
    steps, state = [], None
    for step in x:
        spikes, state = net(step, state)
        steps.append(spikes)
    print(f"step by step: {list(torch.stack(steps).shape)}")
    torch.stack(steps).mean().backward()
    print(f"all learn: {all(p.grad is not None and p.grad.any() for p in net.parameters())}")

    net = norse.SequentialState(norse.Lift(linear), norse.LIF(), glm)
    spikes, (*_, last) = net(x)
    print(f"in one call: {list(spikes.shape)}, and the state after it: {list(last.mem.shape)}")


if __name__ == "__main__":
    main()
