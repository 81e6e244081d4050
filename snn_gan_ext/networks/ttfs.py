"""Networks of neurons that spike at most once: a classifier, and the networks of Spiking-GAN."""

from functools import partial

import torch
from torch import Tensor, nn

from snn_gan_ext.errors import InputError
from snn_gan_ext.functional.ttfs import StepSpikes, clamp_passing, spikes_of
from snn_gan_ext.layers.ttfs import TTFSLinear, TTFSRampLinear
from snn_gan_ext.networks.discriminators import TrialDiscriminator
from snn_gan_ext.networks.images import ImageSample
from snn_gan_ext.networks.labels import known_labels, one_hot
from snn_gan_ext.validation import check_positive, check_setting, check_shapes, whole

__all__ = ["OnOffDiscriminator", "TTFSClassifier", "TTFSGenerator"]

WINDOW = 1.0
"""Window in which pixels fire, in units of time: at its start if white, at its end if black."""


class TTFSClassifier(nn.Module):
    """Two layers of S4NN; the output neuron that fires first names the class.

    Args:
        features: Number of inputs.
        classes: Number of output neurons.
        num_steps: Number of time steps ``T`` of the window.
        hidden: Number of hidden neurons.
        hidden_weights: Mean and standard deviation of the initial weights of hidden neurons.
        output_weights: Mean and standard deviation of the initial weights of output neurons.
        rng: Random source of the initial weights.

    Raises:
        InputError: If a size is below 1.
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
        sizes = ((features, hidden, *hidden_weights), (hidden, classes, *output_weights))
        self.layers = nn.ModuleList(
            TTFSLinear(before, after, weight_mean=mean, weight_std=std, rng=rng)
            for before, after, mean, std in sizes
        )

    def forward(self, times: Tensor) -> list[StepSpikes]:
        """Return the spikes of hidden and output neurons, for the inputs' firing steps ``[B, I]``."""
        hidden, output = self._layers()
        fired = hidden.fire(times, self.num_steps)
        return [fired, output.fire(fired.times, self.num_steps)]

    def weights(self) -> list[nn.Parameter]:
        """Return the weights ``[I, O]`` of each layer.

        Raises:
            InputError: If weights are made of other parameters (pruned or weight-normed layers).
        """
        weights = [layer.weight for layer in self._layers()]
        if not all(isinstance(weight, nn.Parameter) for weight in weights):
            cure = "end it by prune.remove or remove_parametrizations"
            got = "tensors made of others, as by pruning or weight norm"
            raise InputError("weights", expected="parameters", got=got, cure=cure)
        return weights

    def _layers(self) -> list[TTFSLinear]:
        return [layer for layer in self.layers if isinstance(layer, TTFSLinear)]


class TTFSGenerator(nn.Module):
    """Random latencies and a label to firing times of pixels, through one hidden layer of ramps.

    The pixels' window begins half a unit of time after the inputs' window. Both last one unit.

    Args:
        pixels: Number of output neurons ``N``.
        classes: Number of labels; 0 for images without labels. With 0 or 1, labels may be None.
        latents: Number of inputs that fire at random times, uniform over the window.
        hidden: Number of hidden neurons.
        rng: Random source of the initial weights.

    Raises:
        InputError: If a size is below 1, or ``classes`` is negative.
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
        check_positive(latents=latents)
        check_setting("classes", classes, whole(0))
        self.classes, self.latents = classes, latents
        ramps = partial(TTFSRampLinear, horizon=self.horizon, rng=rng)
        self.hidden = ramps(latents + classes, hidden, weight_std=0.3, current=1.0)
        self.readout = ramps(hidden, pixels, weight_std=0.15, current=0.5)

    def noise(self, batch: int, rng: torch.Generator | None = None) -> Tensor:
        """Draw random latencies ``[B, latents]`` in units of time."""
        device = self.hidden.weight.device
        return WINDOW * torch.rand(batch, self.latents, generator=rng, device=device)

    def inputs(self, labels: Tensor | None, noise: Tensor) -> Tensor:
        """Return the inputs' firing times: the noise; 0 for the label's input, never for the others."""
        check_shapes(noise=(noise, ("B", self.latents)))
        label = one_hot(labels, self.classes, len(noise)).to(noise)
        return torch.cat([noise, self.horizon * (1 - label)], 1)

    def fire(
        self, labels: Tensor | None, noise: Tensor, ticks: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return firing times of hidden neurons ``[B, H]`` and of pixels ``[B, N]``.

        Args:
            labels: Labels ``[B]``, or None.
            noise: Noise ``[B, latents]``.
            ticks: Number of clock ticks at which neurons may fire, as in a simulator; any by default.
        """
        hidden = self.hidden(self.inputs(labels, noise), ticks)
        return hidden, self.readout(hidden, ticks)

    def forward(self, labels: Tensor | None, noise: Tensor) -> ImageSample:
        """Return images for labels ``[B]``, or None, and noise ``[B, latents]``."""
        hidden, pixels = self.fire(labels, noise)
        return ImageSample(self.images(pixels), 1 - hidden.mean(1) / self.horizon)

    def spikes(self, times: Tensor, ticks: int) -> Tensor:
        """Return spike trains ``[T, B, N]`` of the pixels.

        The trains begin with the pixels' window. Earlier spikes move to its first step.

        Args:
            times: Firing times of pixels ``[B, N]``.
            ticks: Number of clock ticks in the horizon, a multiple of 3: the window begins at a tick.

        Raises:
            InputError: If ``ticks`` is no multiple of 3.
        """
        if ticks < 3 or ticks % 3:
            raise InputError("ticks", expected="a multiple of 3", got=f"{ticks}")
        steps = ticks - ticks // 3
        late = ((times - self.start) * steps / WINDOW).ceil().sub(1).clamp(min=0)
        return spikes_of(torch.where(times < self.horizon, late, steps), steps)

    def images(self, times: Tensor) -> Tensor:
        """Return pixels ``[B, N]``: 1 if they fire before their window begins, 0 if they never do."""
        return clamp_passing((self.horizon - times) / WINDOW, 0, 1)


class OnOffDiscriminator(TrialDiscriminator):
    r"""A discriminator of images ``[B, N]`` in [0, 1] by the first spike of two neurons, real and fake.

    .. math:: \mathrm{logit} = 5 (t_\mathrm{fake} - t_\mathrm{real})

    Each pixel comes in twice: early if bright (ON), and early if dark (OFF). A late spike has no effect
    on earlier ones, so ON alone would not show dark pixels. Each class has a pair of output neurons;
    images without labels have one pair.

    Args:
        pixels: Number of pixels ``N`` of an image.
        classes: Number of labels; 0 for images without labels. With 0 or 1, labels may be None.
        hidden: Number of hidden neurons.
        weight_scale: Standard deviation of initial hidden weights times the root of the inputs' number.
        rng: Random source of the initial weights.

    Raises:
        InputError: If a size is below 1, or ``classes`` is negative.
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
        check_positive(pixels=pixels, hidden=hidden)
        check_setting("classes", classes, whole(0))
        self.pixels, self.classes = pixels, classes
        ramps = partial(TTFSRampLinear, horizon=WINDOW, current=1.5, rng=rng)
        self.hidden = ramps(2 * pixels, hidden, weight_std=weight_scale * (2 * pixels) ** -0.5)
        self.pairs = ramps(hidden, 2 * max(classes, 1), weight_std=0.05)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        check_shapes(images=(images, ("B", self.pixels)))
        labels = known_labels(labels, self.classes, len(images))
        on_off = WINDOW * torch.cat([1 - images, images], 1)
        pairs = self.pairs(self.hidden(on_off)).unflatten(1, (-1, 2))
        if labels is None:
            labels = torch.zeros(len(images), dtype=torch.long, device=pairs.device)
        pair = pairs[torch.arange(len(labels), device=labels.device), labels]
        logits: Tensor = self.gain * (pair[:, 1] - pair[:, 0])
        return logits
