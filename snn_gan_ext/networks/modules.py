"""Any model that ends in a GLM layer as a generator, and any model as a discriminator."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from snn_gan_ext.errors import InputError, first_line
from snn_gan_ext.layers.base import GLMNeurons
from snn_gan_ext.layers.state import GLMSample, GLMState
from snn_gan_ext.networks.discriminators import TrialDiscriminator
from snn_gan_ext.networks.labels import labels_and_count, one_hot
from snn_gan_ext.validation import check_positive, check_setting, check_shapes, whole

__all__ = ["ModuleDiscriminator", "ModuleGenerator", "ModuleSample"]

KEEP_STATE = "build its layers with init_hidden=True; with sequence=True if it loops over time"


class ModuleSample(NamedTuple):
    """A batch drawn from a model.

    Attributes:
        spikes: Spikes of the read-out layer ``[T, B, *shape]``.
        runs: Run of each GLM layer.
        inputs: Input of each GLM layer ``[T, B, *in]``, with its graph.
    """

    spikes: Tensor
    runs: dict[str, GLMSample]
    inputs: dict[str, Tensor]


class ModuleGenerator(nn.Module):
    r"""A model that ends in a GLM layer, as a generator for `SpikeGAN` and `MaximumLikelihood`.

    The model is any `torch.nn.Module`: `nn.Linear`, `snntorch.Leaky`, convolutions, GLM layers, and a
    GLM layer as the last one, the read-out. GLM layers draw their spikes on the generator's noise; the
    rest should be deterministic. It receives the label, one-hot, and latent bits, at every step.

    An algorithm gives each GLM layer an error :math:`e` by neuron and step. All parameters follow

    .. math:: \sum_{l,t} e_{l,t} \cdot \partial u_{l,t} / \partial \theta,

    where the spikes of GLM layers count as given. GLM layers have this in closed form, from local
    traces. Other modules get it by backpropagation, from the potentials :math:`u` of the GLM layers
    above them. With the error of REINFORCE it is the score function's gradient: unbiased where these
    modules are differentiable (`nn.Linear`, convolutions), and as biased as their surrogate slopes
    where they spike (`snntorch.Leaky`). Later layers may receive a GLM layer's spikes, but not its
    potentials.

    Samples come from the model as it is. With dropout or batch statistics call ``eval()`` before
    drawing trials to keep.

    Args:
        net: Model. By default it is called step by step with ``[B, *in]``, and its layers keep their
            states (``init_hidden=True``).
        num_steps: Number of time steps ``T`` of a trial.
        classes: Number of labels. With one class, labels may be None.
        latent_bits: Number of fair coins, tossed once a trial.
        sequence: Whether the model is called once with ``[T, B, *in]`` instead, and loops over time.
        inputs: Function of label and bits ``[B, classes + latent_bits]`` that returns the model's input
            ``[T, B, *in]``; by default the same vector at every step.

    Attributes:
        size: Number of generators: 1.
        hidden_delay: Time steps from a hidden spike to the read-out that may be counted on: 0.

    Raises:
        InputError: If a size is out of its range, the last layer is no GLM layer, a GLM layer does not
            run once a step, the model loses its state between steps, or it is on the meta device.

    References:
        SpikeGAN paper, eq. 5 and 8, for the GLM layers; Williams (1992) for the modules below them.
    """

    size = 1
    hidden_delay = 0

    def __init__(
        self,
        net: nn.Module,
        num_steps: int,
        *,
        classes: int = 1,
        latent_bits: int = 0,
        sequence: bool = False,
        inputs: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        check_positive(num_steps=num_steps, classes=classes)
        check_setting("latent_bits", latent_bits, whole(0))
        self.net, self.num_steps, self.classes = net, num_steps, classes
        self.latent_bits, self.sequence, self.inputs = latent_bits, sequence, inputs
        self._paths, self._sizes = self._find_layers()

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of a trial behind time and batch."""
        return self._sizes["readout"]

    def noise(self, batch: int, rng: torch.Generator | None = None) -> dict[str, Tensor]:
        """Draw uniforms in [0, 1): ``latent`` ``[B, bits]``, and ``[T, B, *size]`` for each GLM layer.

        Args:
            batch: Number of trials ``B``.
            rng: Random source; torch's global one by default.
        """
        device = self._layer("readout").bias.device
        sizes = {name: (self.num_steps, batch, *size) for name, size in self._sizes.items()}
        sizes = {"latent": (batch, self.latent_bits), **sizes}
        return {name: torch.rand(size, generator=rng, device=device) for name, size in sizes.items()}

    def exogenous(self, labels: Tensor | None, noise: Mapping[str, Tensor]) -> Tensor:
        """Return the model's input ``[T, B, *in]``.

        Args:
            labels: Whole numbers ``[B]``; None for trials without labels.
            noise: Noise from `noise`.

        Raises:
            InputError: If a label is out of range, or there are none for several classes.
        """
        latent = noise["latent"]
        weight = self._layer("readout").weight
        bits = (latent < 0.5).to(weight)
        code = torch.cat([one_hot(labels, self.classes, len(latent)).to(weight), bits], 1)
        return code.expand(self.num_steps, -1, -1) if self.inputs is None else self.inputs(code)

    def sample(self, labels: Tensor | None, noise: Mapping[str, Tensor]) -> ModuleSample:
        """Draw one trial for each label.

        Args:
            labels: Whole numbers ``[B]``; None for trials without labels.
            noise: Noise from `noise`.

        Raises:
            InputError: If a label is out of range, or there are none for several classes.
        """
        return self._draw(labels, noise)

    def _draw(
        self, labels: Tensor | None, noise: Mapping[str, Tensor], observed: str = ""
    ) -> ModuleSample:
        """Draw trials; the noise of an observed layer is 0 where it spikes and 1 elsewhere."""
        tapes = {
            name: _Tape(self._layer(name), noise[name], observed=name == observed)
            for name in self._paths
        }
        self._play(self.exogenous(labels, noise), tapes)
        inputs = {name: torch.cat(tape.inputs) for name, tape in tapes.items()}
        spikes = {name: torch.cat(tape.spikes) for name, tape in tapes.items()}
        runs = {name: self._layer(name).observe(inputs[name], spikes[name]) for name in tapes}
        return ModuleSample(spikes["readout"], runs, inputs)

    def observe(
        self,
        spikes: Tensor,
        labels: Tensor | None,
        noise: Mapping[str, Tensor],
        states: Mapping[str, GLMState] | None = None,
    ) -> ModuleSample:
        """Clamp the read-out layer to given spikes and draw those of the other GLM layers.

        Args:
            spikes: Whole trials ``[T, B, *shape]``.
            labels: Whole numbers ``[B]``; None for trials without labels.
            noise: Noise from `noise`. The read-out layer uses none.
            states: None: a model runs whole trials.

        Raises:
            InputError: If a label is out of range, the spikes do not fit, or there are states.
        """
        if states is not None:
            cure = "take update_every=0"
            raise InputError("states", expected="whole trials", got="parts of them", cure=cure)
        batch = noise["readout"].shape[1]
        check_shapes(spikes=(spikes, (self.num_steps, batch, *self.shape)))
        return self._draw(labels, {**noise, "readout": 1 - spikes.to(noise["readout"])}, "readout")

    def gradients(
        self, sample: ModuleSample, errors: Mapping[str, Tensor], *, per_sample: bool = False
    ) -> dict[str, Tensor]:
        """Return the gradients of all parameters by name.

        Args:
            sample: Sample of this generator, drawn with gradients enabled if modules other than GLM
                layers are to learn.
            errors: Error ``[T, B, *size]`` of each GLM layer.
            per_sample: Whether to keep the batch axis, in front, instead of summing over it; for models
                of GLM layers alone.

        Raises:
            InputError: If other modules learn, and the gradients are to be ``per_sample`` or the sample
                has no graph.
        """
        found: dict[str, Tensor] = {}
        for name, path in self._paths.items():
            run, error = sample.runs[name], errors[name]
            gradients = self._layer(name).gradients(run, error, per_sample=per_sample)
            found |= {f"{path}.{parameter}": gradient for parameter, gradient in gradients.items()}
        below = {
            name: parameter
            for name, parameter in self.named_parameters()
            if name not in found and parameter.requires_grad
        }
        return found | self._gradients_below(below, sample, errors, per_sample) if below else found

    def forward(self, labels: Tensor | int, rng: torch.Generator | None = None) -> Tensor:
        """Draw trials ``[T, B, *shape]``, without a graph.

        Args:
            labels: Labels ``[B]``, or the number of trials ``B`` without labels.
            rng: Random source; torch's global one by default.
        """
        given, count = labels_and_count(labels)
        with torch.no_grad():
            return self.sample(given, self.noise(count, rng)).spikes

    def _gradients_below(
        self,
        below: Mapping[str, nn.Parameter],
        sample: ModuleSample,
        errors: Mapping[str, Tensor],
        per_sample: bool,
    ) -> dict[str, Tensor]:
        """Return the gradients of modules below GLM layers, by backpropagation from the potentials."""
        if per_sample:
            cure = "take another baseline, or freeze the other modules"
            got = f"others: {', '.join(below)}"
            raise InputError("per_sample", expected="GLM layers alone", got=got, cure=cure)
        terms = [
            (self._layer(name).drive(inputs) * errors[name]).sum()
            for name, inputs in sample.inputs.items()
            if inputs.requires_grad
        ]
        if not terms:
            cure = "draw it outside torch.no_grad()"
            raise InputError("sample", expected="a sample with a graph", got="one without", cure=cure)
        found = torch.autograd.grad(
            torch.stack(terms).sum(), list(below.values()), retain_graph=True, materialize_grads=True
        )
        return dict(zip(below, found, strict=True))

    def _layer(self, name: str) -> GLMNeurons:
        layer = self.get_submodule(self._paths[name])
        assert isinstance(layer, GLMNeurons)
        return layer

    def _play(self, inputs: Tensor, tapes: Mapping[str, "_Tape"]) -> list[Any]:
        """Run the model from silence, with its GLM layers on tape; return its outputs by call."""
        if inputs.shape[:1] != (self.num_steps,):
            expected = f"{self.num_steps} steps first"
            raise InputError("inputs", expected=expected, got=f"{list(inputs.shape)}")
        _reset(self.net)
        try:
            with _recording(tapes):
                return [self.net(each) for each in ([inputs] if self.sequence else inputs)]
        finally:
            _reset(self.net)

    def _try(self, inputs: Tensor, tapes: Mapping[str, "_Tape"]) -> list[Any]:
        """Run the model for the first time: an error is one of its inputs or layers."""
        try:
            return self._play(inputs, tapes)
        except InputError:
            raise
        except Exception as error:
            expected = f"a model that takes {list(inputs.shape[0 if self.sequence else 1 :])}"
            got = f"{type(error).__name__}: {first_line(error)}"
            cure = "inputs have classes + latent_bits features; " + KEEP_STATE
            raise InputError("net", expected=expected, got=got, cure=cure) from error

    @torch.no_grad()
    def _find_layers(self) -> tuple[dict[str, str], dict[str, tuple[int, ...]]]:
        """Run the model once to find its GLM layers, their sizes, and the one that comes last."""
        layers = [(name, x) for name, x in self.named_modules() if isinstance(x, GLMNeurons)]
        # Coins of its own for each layer tell by its output which one comes last.
        tapes = {name: _Tape(layer, None, seed=seed) for seed, (name, layer) in enumerate(layers)}
        if not tapes:
            got = type(self.net).__name__
            raise InputError("net", expected="a model with a GLM layer at its end", got=got)
        self._paths = {"readout": next(reversed(tapes))}  # until the last layer is known
        trials = 8
        latent = torch.zeros(trials, self.latent_bits, device=self._layer("readout").bias.device)
        labels = torch.zeros(trials, dtype=torch.long)
        inputs = self.exogenous(labels, {"latent": latent})
        with _evaluating(self.net), _counting_steps(self.net) as steps:
            outputs = self._try(inputs, tapes)
        for name, count in steps.items():
            _check_steps(name, count or self.num_steps, self.num_steps)  # unused ones do no harm
        for name, tape in tapes.items():
            tape.check(name, self.num_steps)
        last = [name for name, tape in tapes.items() if tape.ends_in(outputs)]
        if not last:
            expected = "a model that returns its last GLM layer's spikes"
            raise InputError("net", expected=expected, got="another output")
        paths = {name.removeprefix("net."): name for name in tapes if name != last[-1]}
        paths["readout"] = last[-1]
        sizes = {name: tuple(tapes[path].spikes[0].shape[2:]) for name, path in paths.items()}
        return paths, sizes


class _Tape:
    """Inputs and spikes of a GLM layer within a model, on given noise ``[T, B, *out]``."""

    def __init__(
        self, layer: GLMNeurons, uniforms: Tensor | None, *, observed: bool = False, seed: int = 0
    ) -> None:
        self.layer, self.uniforms, self.observed = layer, uniforms, observed
        self.inputs: list[Tensor] = []
        self.spikes: list[Tensor] = []
        self.mem: Tensor | None = None
        if layer.bias.is_meta:
            cure = "take .to_empty(device='cpu') of the model, and load its weights"
            got = "weights on the meta device"
            raise InputError("net", expected="weights with values", got=got, cure=cure)
        self._rng = torch.Generator(layer.bias.device).manual_seed(seed)

    def forward(self, input_: Tensor, state: Any = None, **_: Any) -> Any:
        """Run the layer on the noise of these steps; later modules take its spikes as given."""
        one_step = input_.dim() == 1 + len(self.layer.input_axes)
        sequence = input_.unsqueeze(0) if one_step else input_
        noise, observed = self._noise(sequence)
        with torch.no_grad():
            noise = noise.squeeze(0) if one_step else noise
            output = self.layer._call(input_, state, noise, None, observed=observed)
        spikes, after = output if isinstance(output, tuple) else (output, self.layer._state)
        # Copies: later modules may change what they receive in place.
        self.inputs.append(sequence.clone())
        self.spikes.append(spikes.unsqueeze(0).clone() if one_step else spikes.clone())
        self.mem = None if after is None else after.mem
        return output

    def _noise(self, inputs: Tensor) -> tuple[Tensor, bool]:
        """Return uniforms for these steps, and whether they force given spikes."""
        if self.uniforms is not None:
            done = sum(map(len, self.inputs))
            return self.uniforms[done : done + len(inputs)], self.observed
        shape = (*inputs.shape[:2], *self.layer.output_size(inputs.shape[2:]))
        coins = torch.randint(2, shape, generator=self._rng, device=self._rng.device)
        return coins.to(self.layer.bias), True

    def check(self, name: str, num_steps: int) -> None:
        """Check that the layer ran once a step, and went on from its last state."""
        _check_steps(name, sum(map(len, self.inputs)), num_steps)
        replay = self.layer.observe(torch.cat(self.inputs), torch.cat(self.spikes))
        if self.mem is None or not torch.allclose(self.mem, replay.potentials[-1], atol=1e-3):
            expected = "a model that keeps this layer's state from step to step"
            raise InputError(f"{name}", expected=expected, got="one that loses it", cure=KEEP_STATE)

    def ends_in(self, outputs: list[Any]) -> bool:
        """Whether the layer's spikes, or those of the last step of a call, are the model's outputs."""
        returned = [x[0] if isinstance(x, tuple) else x for x in outputs]
        own = self.spikes if len(self.spikes) == len(outputs) else [torch.cat(self.spikes)]
        return len(own) == len(returned) and all(
            isinstance(x, Tensor) and any(torch.equal(x, y) for y in (spikes, spikes[-1]))
            for x, spikes in zip(returned, own, strict=True)
        )


@contextmanager
def _recording(tapes: Mapping[str, _Tape]) -> Iterator[None]:
    """Let tapes stand for their layers' ``forward``."""
    for tape in tapes.values():
        tape.layer.forward = tape.forward  # type: ignore[method-assign]
    try:
        yield
    finally:
        for tape in tapes.values():
            del tape.layer.forward


@contextmanager
def _counting_steps(net: nn.Module) -> Iterator[dict[str, int]]:
    """Count the calls of snnTorch's neurons, which take a sequence for a batch."""
    steps: dict[str, int] = {}
    hooks = []
    for name, module in net.named_modules():
        if hasattr(module, "reset_mem") and not isinstance(module, GLMNeurons):
            steps[name] = 0

            def count(*_: Any, name: str = name) -> None:
                steps[name] += 1

            hooks.append(module.register_forward_hook(count))
    try:
        yield steps
    finally:
        for hook in hooks:
            hook.remove()


def _check_steps(name: str, steps: int, num_steps: int) -> None:
    if steps != num_steps:
        expected = f"{num_steps} steps a trial, one a step"
        raise InputError(f"{name}", expected=expected, got=f"{steps}", cure=KEEP_STATE)


@contextmanager
def _evaluating(net: nn.Module) -> Iterator[None]:
    """Spare batch statistics and random sources of dropout."""
    training = [module for module in net.modules() if module.training]
    net.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _reset(net: nn.Module) -> None:
    """Reset the hidden states of a model's own layers, GLM's and snnTorch's."""
    for module in net.modules():
        if callable(reset := getattr(module, "reset_mem", None)):
            reset()


class ModuleDiscriminator(TrialDiscriminator):
    """Any model as a discriminator, snnTorch's spiking ones too.

    Its logit is its output ``[B, 1]`` or ``[B]``. Where it returns ``(spikes, mem)``, as a last layer
    with ``output=True`` does, the logit is the membrane potential: spikes have no slope. Labels come
    one-hot, as further features or channels behind those of the trials.

    Args:
        net: Model. By default it is called once, with whole trials or decoded ones.
        classes: Number of labels; 0 for trials without labels.
        by_step: Whether the model is called step by step instead, with hidden states
            (``init_hidden=True``). The logit is the mean of its outputs.

    Shapes:
        trials ``[T, B, N]`` or ``[T, B, C, H, W]``, decoded ones ``[B, N]`` or ``[B, C, H, W]``.

    Raises:
        InputError: If ``classes`` is negative.
    """

    def __init__(self, net: nn.Module, classes: int = 0, *, by_step: bool = False) -> None:
        super().__init__()
        check_setting("classes", classes, whole(0))
        self.net, self.classes, self.by_step = net, classes, by_step

    def forward(self, trials: Tensor, labels: Tensor | None = None) -> Tensor:
        axis = 2 if self.by_step or trials.dim() in (3, 5) else 1  # behind the batch
        batch, places = trials.shape[axis - 1], trials.shape[axis + 1 :]
        label = one_hot(labels, self.classes, batch).to(trials)
        label = label.reshape(batch, self.classes, *[1] * len(places)).expand(-1, -1, *places)
        if axis == 2:
            label = label.expand(len(trials), *label.shape)
        received = torch.cat([trials, label], axis)
        if not self.by_step:
            return self._logit(self.net(received), batch)
        _reset(self.net)
        logits = torch.stack([self._logit(self.net(step), batch) for step in received]).mean(0)
        _reset(self.net)
        return logits

    @staticmethod
    def _logit(output: Any, batch: int) -> Tensor:
        logits = output[-1] if isinstance(output, tuple) else output
        if not isinstance(logits, Tensor) or logits.numel() != batch:
            got = f"{list(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
            raise InputError("discriminator's output", expected=f"a logit for each of {batch}", got=got)
        return logits.reshape(batch)
