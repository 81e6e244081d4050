"""A recipe for recordings in a format of their own: one .npy of events a file, in a folder a class."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from snn_gan_ext.datasets.recordings import Recordings
from snn_gan_ext.experiments.recipes.events import EventRecordings
from snn_gan_ext.experiments.recipes.nmnist import SMALL

CLASSES = ("left", "right", "up")


class Files:
    """Events and the place of their class, by index."""

    def __init__(self, folder):
        self.data = sorted(map(str, Path(folder).glob("*/*.npy")))

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        return np.load(self.data[index]), CLASSES.index(Path(self.data[index]).parent.name)


@dataclass(frozen=True, kw_only=True)
class Gestures(EventRecordings):
    sensor: tuple[int, int, int] = (12, 8, 2)
    classes: int = len(CLASSES)
    pool: int = 1

    def recordings(self):
        return Recordings(Files(self.path), self.sensor)


TOY = replace(SMALL, name="toy-gestures", data=Gestures())
