"""An snnTorch classifier of handwritten digits with a stochastic GLM layer as its read-out.

Three networks learn scikit-learn's 8 x 8 digits, rate-coded over 20 time steps:

1. Two layers of `snn.Leaky`, trained by backpropagation through time (BPTT).
2. The same with a `GLMLayer` as read-out: one line changes. BPTT takes a surrogate slope (biased).
3. The trained network of 1 with a `GLMLayer` as read-out. Its local rule trains this layer alone: the
   exact gradient of the log-likelihood of "the neuron of the right class fires, no other does". It
   stores no graph through time and sends nothing back to the layers before.

Usage: python examples/digits_classifier.py [--epochs N] [--seed N]
"""

import argparse

import snntorch as snn
import torch
from snntorch import functional, spikegen, utils
from torch import Tensor, nn

import snn_gan_ext as sg
from snn_gan_ext.coding.images import Labelled
from snn_gan_ext.datasets.digits import load_digits

NUM_STEPS, HIDDEN, CLASSES, BATCH = 20, 128, 10, 100


def classifier(*readout: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(64, HIDDEN), snn.Leaky(beta=0.9, init_hidden=True), *readout)


def run(net: nn.Module, images: Tensor) -> Tensor:
    """Return output spikes ``[T, B, classes]``."""
    utils.reset(net)
    return torch.stack([net(frame) for frame in spikegen.rate(images, num_steps=NUM_STEPS)])


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
        target = nn.functional.one_hot(digits.labels[batch], CLASSES).expand(NUM_STEPS, -1, -1)
        observed = readout.observe(features, target)
        gradients = readout.gradients(observed, observed.score / (NUM_STEPS * BATCH))
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

    # The line that changes:
    stochastic = classifier(sg.GLMLayer(HIDDEN, CLASSES, delay=0, init_hidden=True))
    train_by_bptt(stochastic, digits.train, options.epochs)
    print(f"GLMLayer read-out, BPTT:             {accuracy(stochastic, digits.test):.3f}", flush=True)

    swapped = nn.Sequential(*net[:2], sg.GLMLayer(HIDDEN, CLASSES, delay=0, init_hidden=True))
    train_readout_by_local_rule(swapped, digits.train, options.epochs)
    print(f"GLMLayer read-out, local rule alone: {accuracy(swapped, digits.test):.3f}")


if __name__ == "__main__":
    main()
