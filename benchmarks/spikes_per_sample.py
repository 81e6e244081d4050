"""Spikes of a run's generator for one image: of its hidden and of its read-out neurons.

Usage: python -m benchmarks.spikes_per_sample RUN...
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn

import snn_gan_ext as sg
from snn_gan_ext.experiments import runs

SAMPLES = 1000


@torch.no_grad()
def spikes(generator: nn.Module, labels: Tensor) -> dict[str, float]:
    """Return the mean number of spikes of a sample, by layer."""
    rng = torch.Generator().manual_seed(0)
    noise = generator.noise(len(labels), rng)
    if isinstance(generator, sg.TTFSGenerator):
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
        trainer = sg.load_run(folder)
        experiment = trainer.experiment
        found = spikes(trainer.generator, torch.arange(SAMPLES) % 10)
        cells = [f"{x:.1f}" for x in (found["hidden"], found["readout"], sum(found.values()))]
        score = runs.read_metrics_json(folder)["samplers"][experiment.label]["tstr"]
        print(f"| `{experiment.name}`, seed {experiment.seed} |", " | ".join(cells), f"| {score:.3f} |")


if __name__ == "__main__":
    main()
