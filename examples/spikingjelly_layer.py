"""A stochastic GLM layer in a SpikingJelly model, step by step and over a whole sequence.

SpikingJelly's `reset_net` does not know the layer: `snntorch.utils.reset` resets it.

Usage: pip install spikingjelly; python examples/spikingjelly_layer.py
"""

import torch
from snntorch import utils
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn

import snn_gan_ext as sg


def main() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        layer.Linear(20, 30),
        neuron.LIFNode(),
        sg.GLMLayer(30, 10, init_hidden=True),
    )
    x = 4 * torch.rand(25, 5, 20)
    spikes = torch.stack([net(step) for step in x])
    print(f"step by step: {list(spikes.shape)}")
    spikes.mean().backward()
    print(f"all learn: {all(p.grad is not None and p.grad.any() for p in net.parameters())}")

    functional.reset_net(net)
    utils.reset(net)
    print(f"silent again: {net[1].v == 0.0 and net[2].mem.numel() == 0}")

    functional.set_step_mode(net, "m")
    print(f"in one call: {list(net(x).shape)}")


if __name__ == "__main__":
    main()
