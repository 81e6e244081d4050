"""Spikes of a run's whole generator for one image, of hidden and of read-out neurons.

Usage: python -m benchmarks.spikes_per_sample RUN...
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn

from snn_gan_ext.experiments import runs
from snn_gan_ext.networks.ttfs import TTFSGenerator

SAMPLES = 1000


@torch.no_grad()
def spikes(generator: nn.Module, labels: Tensor) -> dict[str, float]:
    """Mean number of spikes a sample, by layer."""
    rng = torch.Generator().manual_seed(0)
    noise = generator.noise(len(labels), rng)
    if isinstance(generator, TTFSGenerator):
        fired = zip(("hidden", "readout"), generator.fire(labels, noise), strict=True)
        counts = {name: (times < generator.horizon).sum() for name, times in fired}
    else:
        layers = generator.sample(labels, noise).runs
        counts = {name: layer.spikes.sum() for name, layer in layers.items()}
    return {name: float(count) / len(labels) for name, count in counts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    print("| run | hidden | read-out | total | TSTR |")
    print("| --- " * 5 + "|")
    for folder in parser.parse_args().runs:
        recipe, experiment = runs.load_run(folder)
        generators = getattr(experiment, "generators", {"": experiment.generator})
        generator = generators.get("spiking", experiment.generator)
        found = spikes(generator, torch.arange(SAMPLES) % 10)
        cells = [f"{x:.1f}" for x in (found["hidden"], found["readout"], sum(found.values()))]
        score = runs.read_metrics_json(folder)["tstr"]
        print(f"| `{recipe.name}`, seed {recipe.seed} |", " | ".join(cells), f"| {score:.3f} |")


if __name__ == "__main__":
    main()
