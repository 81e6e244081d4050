"""A stochastic GLM layer in an snnTorch model, step by step and over a whole sequence.

Usage: python examples/sequential.py
"""

import snntorch as snn
import torch
from torch import nn

import snn_gan_ext as sg


def main() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(20, 30),
        snn.Leaky(beta=0.9, init_hidden=True),
        sg.GLMLayer(30, 10, init_hidden=True),
    )
    spikes = torch.stack([net(torch.rand(5, 20)) for _ in range(25)])
    print(f"in nn.Sequential: {list(spikes.shape)}, {spikes.mean():.2f} spikes a step")

    layer = sg.GLMLayer(20, 10)
    x, uniforms = torch.rand(25, 5, 20), torch.rand(25, 5, 10)
    whole, _ = layer(x, uniforms=uniforms)
    state, steps = None, []
    for t in range(25):
        step, state = layer(x[t], state, uniforms=uniforms[t])
        steps.append(step)
    print(f"step by step and in one call, the same spikes: {torch.equal(whole, torch.stack(steps))}")


if __name__ == "__main__":
    main()
