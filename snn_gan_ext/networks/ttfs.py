"""Networks of neurons that spike at most once: a classifier, and the two sides of Spiking-GAN."""

import torch
from torch import Tensor, nn

from snn_gan_ext.errors import InputError
from snn_gan_ext.functional.ttfs import StepSpikes, spikes_of
from snn_gan_ext.layers.checks import check_positive
from snn_gan_ext.layers.ttfs import TTFSLinear, TTFSRampLinear
from snn_gan_ext.networks.images import ImageSample
from snn_gan_ext.networks.labels import one_hot

__all__ = ["OnOffDiscriminator", "TTFSClassifier", "TTFSGenerator"]

WINDOW = 1.0
"""Length of the window in which an image's pixels fire: at its begin if white, at its end if black."""


class TTFSClassifier(nn.Module):
    """Two layers of S4NN; the output neuron that fires first names the class.

    Args:
        features: number of inputs.
        classes: number of output neurons.
        num_steps: length ``T`` of the window in time steps.
        hidden: number of hidden neurons.
        hidden_weights: mean and standard deviation of the initial weights of hidden neurons.
        output_weights: those of output neurons.
        rng: seeds the initial weights.
    """

    def __init__(
        self,
        features: int,
        classes: int,
        num_steps: int,
        *,
        hidden: int,
        hidden_weights: tuple[float, float] = (0.02, 0.04),
        output_weights: tuple[float, float] = (0.02, 0.1),
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_positive(num_steps=num_steps)
        self.num_steps = num_steps
        sizes = ((features, hidden, hidden_weights), (hidden, classes, output_weights))
        self.layers = nn.ModuleList(
            TTFSLinear(before, after, weight_mean=mean, weight_std=std, rng=rng)
            for before, after, (mean, std) in sizes
        )

    def forward(self, times: Tensor) -> list[StepSpikes]:
        """What hidden and output neurons do, for the inputs' firing steps ``[B, I]``."""
        fired = []
        for layer in self.layers:
            assert isinstance(layer, TTFSLinear)
            fired.append(layer.fire(times, self.num_steps))
            times = fired[-1].times
        return fired


class TTFSGenerator(nn.Module):
    """Random latencies and a label to firing times of pixels, through one hidden layer of ramps.

    Its pixels' window begins half a unit of time after its inputs', and both last one unit.

    Args:
        pixels: number of output neurons ``N``.
        classes: number of labels.
        latents: number of inputs that fire at random times, uniform over the window.
        hidden: number of hidden neurons.
        rng: seeds the initial weights.

    Raises:
        InputError: if a size is too small.
    """

    start = 0.5
    horizon = start + WINDOW

    def __init__(
        self,
        pixels: int,
        classes: int,
        *,
        latents: int = 32,
        hidden: int = 128,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_positive(classes=classes, latents=latents)
        self.classes, self.latents = classes, latents
        self.hidden = TTFSRampLinear(
            latents + classes,
            hidden,
            horizon=self.horizon,
            weight_std=0.3,
            current=1.0,
            rng=rng,
        )
        self.readout = TTFSRampLinear(
            hidden, pixels, horizon=self.horizon, weight_std=0.15, current=0.5, rng=rng
        )

    def noise(self, batch: int, rng: torch.Generator | None = None) -> Tensor:
        """Random latencies ``[B, latents]`` in units of time."""
        device = self.hidden.weight.device
        return WINDOW * torch.rand(batch, self.latents, generator=rng, device=device)

    def inputs(self, labels: Tensor, noise: Tensor) -> Tensor:
        """Firing times of the inputs: the noise, and the label's own at 0, the others' never."""
        label = one_hot(labels, self.classes).to(noise)
        return torch.cat([noise, self.horizon * (1 - label)], 1)

    def fire(self, labels: Tensor, noise: Tensor, ticks: int | None = None) -> tuple[Tensor, Tensor]:
        """Firing times of hidden neurons ``[B, H]`` and of pixels ``[B, N]``.

        Args:
            labels: ``[B]``.
            noise: ``[B, latents]``.
            ticks: let neurons fire at so many ticks of a clock alone, as a simulator with time steps
                does; at any time by default.
        """
        hidden = self.hidden(self.inputs(labels, noise), ticks)
        return hidden, self.readout(hidden, ticks)

    def forward(self, labels: Tensor, noise: Tensor) -> ImageSample:
        """Images for labels ``[B]`` and noise ``[B, latents]``."""
        hidden, pixels = self.fire(labels, noise)
        return ImageSample(self.images(pixels), 1 - hidden.mean(1) / self.horizon)

    def spikes(self, times: Tensor, ticks: int) -> Tensor:
        """Spike trains ``[T, B, N]`` of the pixels, on a clock with so many ticks a horizon.

        The trains begin where the pixels' window does; what fires earlier fires at its first step.

        Args:
            times: of pixels ``[B, N]``.
            ticks: a multiple of 3, so that the window begins at one of them.
        """
        if ticks < 3 or ticks % 3:
            raise InputError("ticks", expected="a multiple of 3", got=f"{ticks}")
        steps = ticks - ticks // 3
        late = ((times - self.start) * steps / WINDOW).ceil().sub(1).clamp(min=0)
        return spikes_of(torch.where(times < self.horizon, late, steps), steps)

    def images(self, times: Tensor) -> Tensor:
        """Pixels ``[B, N]`` in [0, 1]: 1 if they fire before the window begins, 0 if they never do."""
        return ((self.horizon - times) / WINDOW).clamp(0, 1)


class OnOffDiscriminator(nn.Module):
    r"""Which fires first, the neuron for real or the one for fake?

    .. math:: \mathrm{logit} = 5 (t_\mathrm{fake} - t_\mathrm{real})

    Each pixel comes in twice, early if bright (ON) and early if dark (OFF): a late spike has no
    effect on what fires before it, so ON alone would not show dark pixels. Each class has a pair of
    output neurons.

    Args:
        pixels: number of pixels ``N`` of an image.
        classes: number of labels.
        hidden: number of hidden neurons.
        weight_scale: standard deviation of the hidden neurons' initial weights, times the root of
            their number of inputs.
        rng: seeds the initial weights.

    Raises:
        InputError: if a size is too small.
    """

    gain = 5.0

    def __init__(
        self,
        pixels: int,
        classes: int,
        *,
        hidden: int = 192,
        weight_scale: float = 3.0,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_positive(pixels=pixels, classes=classes, hidden=hidden)
        self.classes = classes
        sizes = ((2 * pixels, hidden, weight_scale * (2 * pixels) ** -0.5), (hidden, 2 * classes, 0.05))
        self.hidden, self.pairs = (
            TTFSRampLinear(before, after, horizon=WINDOW, weight_std=std, current=1.5, rng=rng)
            for before, after, std in sizes
        )

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Logits ``[B]`` for images ``[B, N]`` in [0, 1] and labels ``[B]``.

        Raises:
            InputError: if there is not one label for each image, or it is none of the classes.
        """
        one_hot(labels, self.classes)
        labels = labels.long()  # bytes would pick by mask
        if len(labels) != len(images):
            raise InputError("labels", expected=f"[{len(images)}]", got=f"{list(labels.shape)}")
        on_off = WINDOW * torch.cat([1 - images, images], 1)
        pairs = self.pairs(self.hidden(on_off)).unflatten(1, (-1, 2))
        pair = pairs[torch.arange(len(labels), device=labels.device), labels]
        logits: Tensor = self.gain * (pair[:, 1] - pair[:, 0])
        return logits
