"""Recordings drawn from a trained run, as a data set like Tonic's."""

import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from snn_gan_ext.coding.events import EVENT, to_events
from snn_gan_ext.errors import InputError
from snn_gan_ext.experiments import runs
from snn_gan_ext.rng import stream
from snn_gan_ext.validation import SEED, check_setting, whole

__all__ = ["SyntheticEvents"]

DRAWN_AT_ONCE = 200


class SyntheticEvents(Dataset[tuple[Any, Any]]):
    """Synthetic recordings, for use wherever those of a Tonic data set are used.

    All are drawn at the start and kept as spikes, a bit each; events are made on access. This needs
    neither Tonic nor the recordings that the run learned from.

    Args:
        run: Folder of a finished run of a recipe with events.
        n: Number of recordings.
        label: Class of all recordings; the classes in turn by default.
        seed: Seed of the draws.
        transform: Transform of the events, such as ``tonic.transforms.ToFrame``.
        target_transform: Transform of the target.
        transforms: Transform of both.

    Attributes:
        sensor_size: Width, height and polarities of the sensor.
        dtype: Type of the events: x, y, t (microseconds) and p.
        ordering: Names of its fields.
        targets: Labels ``[n]``.

    Raises:
        InputError: If the folder holds no finished run, its data are no events, or a number is out of
            bounds.
    """

    dtype = EVENT
    ordering = EVENT.names

    def __init__(
        self,
        run: Path | str,
        n: int,
        *,
        label: int | None = None,
        seed: int = 0,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        transforms: Callable[[Any, Any], tuple[Any, Any]] | None = None,
    ) -> None:
        check_setting("n", n, whole(1))
        check_setting("seed", seed, SEED)
        trainer = runs.load_run(run)
        if trainer.data.binning is None:
            got = f"{trainer.experiment.name!r}"
            raise InputError("run", expected="a recipe with events, such as nmnist", got=got)
        self.binning = trainer.data.binning
        self.sensor_size = tuple(self.binning.sensor_size)
        self.transform, self.target_transform, self.transforms = transform, target_transform, transforms
        rng = stream(seed, "samples")
        labels = trainer.data.labels(n, label)
        assert isinstance(labels, Tensor)
        self.targets = labels.tolist()
        parts = [labels[start : start + DRAWN_AT_ONCE] for start in range(0, n, DRAWN_AT_ONCE)]
        self._packed = np.concatenate([_packed(trainer.sample(x, rng)["spikes"]) for x in parts])

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """Return events of `dtype` and the label, transformed.

        Raises:
            InputError: If ``index`` is no whole number.
            IndexError: If there is no such recording.
        """
        try:
            index = operator.index(index)
        except TypeError:
            got = f"{index!r:.60}"
            raise InputError(
                "index", expected="a whole number", got=got, cure="take a torch Subset"
            ) from None
        bits = np.unpackbits(self._packed[index], count=int(np.prod(self.binning.shape)))
        spikes = bits.reshape(self.binning.shape).astype(np.bool_)
        events: Any = to_events(spikes, self.binning.step_us, self.binning.start_us)
        target: Any = self.targets[index]
        if self.transform is not None:
            events = self.transform(events)
        if self.target_transform is not None:
            target = self.target_transform(target)
        if self.transforms is not None:
            events, target = self.transforms(events, target)
        return events, target


def _packed(spikes: Tensor) -> NDArray[np.uint8]:
    """Pack spikes ``[T, n, C, H, W]``, a row a trial and a bit a spike."""
    return np.packbits(spikes.transpose(0, 1).flatten(1).bool().numpy(), axis=1)
