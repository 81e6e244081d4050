"""An snnTorch classifier of handwritten digits whose read-out becomes a stochastic GLM layer.

Three networks on the 8 x 8 digits that scikit-learn ships, rate-coded over 20 steps:

1. snnTorch alone: two layers of `snn.Leaky`, by backpropagation through time (BPTT);
2. one line changed, a `GLMLayer` as read-out, all of it by BPTT with a surrogate slope (biased);
3. the trained network of 1 with a `GLMLayer` as read-out, and this layer alone by its local rule:
   the exact gradient of the log-likelihood of "the neuron of the right class fires, no other does".
   No graph through time is stored, and nothing is sent back to the layers before.

Usage: python examples/digits_classifier.py [--epochs N] [--seed N]
"""

import argparse

import snntorch as snn
import torch
from snntorch import functional, spikegen, utils
from torch import Tensor, nn

from snn_gan_ext import GLMLayer
from snn_gan_ext.coding.images import Labelled
from snn_gan_ext.datasets.digits import load_digits

STEPS, HIDDEN, CLASSES, BATCH = 20, 128, 10, 100


def classifier(*readout: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(64, HIDDEN), snn.Leaky(beta=0.9, init_hidden=True), *readout)


def run(net: nn.Module, images: Tensor) -> Tensor:
    """Output spikes ``[T, B, classes]``."""
    utils.reset(net)
    return torch.stack([net(frame) for frame in spikegen.rate(images, num_steps=STEPS)])


def accuracy(net: nn.Module, digits: Labelled) -> float:
    with torch.no_grad():
        return float(functional.accuracy_rate(run(net, digits.images), digits.labels))


def batches(digits: Labelled, epochs: int) -> list[Tensor]:
    return [i for _ in range(epochs) for i in torch.randperm(len(digits.labels)).split(BATCH)]


def train_by_bptt(net: nn.Module, digits: Labelled, epochs: int) -> None:
    optimizer = torch.optim.Adam(net.parameters(), lr=0.005)
    loss_of = functional.ce_rate_loss()
    for batch in batches(digits, epochs):
        loss = loss_of(run(net, digits.images[batch]), digits.labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def train_readout_by_local_rule(net: nn.Sequential, digits: Labelled, epochs: int) -> None:
    body, readout = net[:-1], net[-1]
    optimizer = torch.optim.Adam(readout.parameters(), lr=0.01, maximize=True)
    for batch in batches(digits, epochs):
        with torch.no_grad():
            features = run(body, digits.images[batch])
        target = nn.functional.one_hot(digits.labels[batch], CLASSES).expand(STEPS, -1, -1)
        observed = readout.observe(features, target)
        gradients = readout.gradients(observed, observed.score / (STEPS * BATCH))
        for name, parameter in readout.named_parameters():
            parameter.grad = gradients[name]
        optimizer.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    digits = load_digits()

    net = classifier(nn.Linear(HIDDEN, CLASSES), snn.Leaky(beta=0.9, init_hidden=True))
    train_by_bptt(net, digits.train, options.epochs)
    print(f"snn.Leaky read-out, BPTT:            {accuracy(net, digits.test):.3f}", flush=True)

    # The one line that changes:
    stochastic = classifier(GLMLayer(HIDDEN, CLASSES, delay=0, init_hidden=True))
    train_by_bptt(stochastic, digits.train, options.epochs)
    print(f"GLMLayer read-out, BPTT:             {accuracy(stochastic, digits.test):.3f}", flush=True)

    swapped = nn.Sequential(*net[:2], GLMLayer(HIDDEN, CLASSES, delay=0, init_hidden=True))
    train_readout_by_local_rule(swapped, digits.train, options.epochs)
    print(f"GLMLayer read-out, local rule alone: {accuracy(swapped, digits.test):.3f}")


if __name__ == "__main__":
    main()
