"""The random sources of before `snn_gan_ext.rng`: seeds are offsets. Kept until results are made again."""

import torch
from torch import nn

OFFSETS = {
    "FiringModes": {"ml": 1, "spikegan": 2, "bayes": 3, "batches": 4},
    "SimulatedNeurons": {"ml": 1, "spikegan": 2, "bayes": 3, "batches": 4},
    "EventRecordings": {"spikegan": 1, "ml": 2, "batches": 3},
    "DigitImages": {"spiking_gan": 1, "ann_gan": 2, "batches": 3},
    "DigitTasks": {
        "weights": 0,
        "training": 1,
        "tasks": 2,
        "fresh weights": 5000,
        "fresh heads": 6000,
        "within noise": 7000,
        "within batches": 8000,
        "within samples": 9000,
    },
    "LatencyCodedDigits": {"aggressive": 1, "relative": 1, "batches": 2},
}


EVALUATION = {
    "images": 1000,
    "monitor": 2000,
    "synthetic": 3000,
    "held out": 4000,
    "figures": 7000,
    "raster": 7000,
    "c2st train real": 10000,
    "c2st train synthetic": 11000,
    "c2st test real": 20000,
    "c2st test synthetic": 21000,
}


def stream(trainer, role, device):  # type: ignore[no-untyped-def]
    kind = type(trainer.data).__name__
    key = role.removeprefix("training of ")
    offset = EVALUATION.get(role) or OFFSETS.get(kind, {}).get(key, 1)
    return torch.Generator(device).manual_seed(trainer.seed + offset)


def networks(trainer):  # type: ignore[no-untyped-def]
    experiment, data = trainer.experiment, trainer.data
    kind = type(data).__name__
    weights = torch.Generator().manual_seed(trainer.seed)
    arms = dict(experiment.arms)
    if kind in ("FiringModes", "SimulatedNeurons"):
        arms = {name: arms[name] for name in ("ml", "spikegan", "bayes")}
    pairs: dict[str, list[nn.Module]] = {name: [] for name in arms}
    if kind == "DigitImages":
        for name, arm in arms.items():
            pairs[name] = [
                arm.generator.build(data, weights),
                arm.discriminator.build(data, None, weights),
            ]
    else:
        for name, arm in arms.items():
            if experiment.same_weights:
                weights = torch.Generator().manual_seed(trainer.seed)
            pairs[name].append(arm.generator.build(data, weights))
        for name, arm in arms.items():
            if arm.discriminator is not None:
                pairs[name].append(arm.discriminator.build(data, arm.learner.decode, weights))
    return {name: tuple(part.to(trainer.device) for part in pairs[name]) for name in experiment.arms}
