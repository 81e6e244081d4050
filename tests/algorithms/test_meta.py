"""`MetaSpikeGAN` on toy tasks: buffers, initialisations, and training side by side."""

import io

import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.algorithms.meta import MetaSpikeGAN, TaskBatch, initialise_from
from snn_gan_ext.algorithms.spikegan import SpikeGAN
from snn_gan_ext.coding.images import rate_decode
from snn_gan_ext.functional.bases import exponential_basis
from snn_gan_ext.networks.discriminators import MLPDiscriminator
from snn_gan_ext.networks.ensembles import DiscriminatorEnsemble, Ensemble
from snn_gan_ext.networks.generators import ConditionalGenerator
from snn_gan_ext.types import CONSTANT, Batch, Schedule

PIXELS, STEPS = 6, 3
WITHIN = SpikeGAN(
    decode=rate_decode,
    updates=50,
    estimator="hybrid",
    generator_lr=0.05,
    discriminator_lr=0.02,
    schedule=CONSTANT,
)


def make_generator(weights):
    return ConditionalGenerator(
        2, PIXELS, STEPS, hidden=4, latent_bits=2, basis=exponential_basis(3, 2.0), rng=weights
    )


def make_discriminator(weights):
    return MLPDiscriminator(PIXELS, 2, hidden=(8,), label_scale=4.0, rng=weights)


def build(stored=3, seed=0, **settings):
    weights = torch.Generator().manual_seed(seed)
    settings = {"inner": WITHIN, "updates": 40, "inner_steps": 5, "inner_batch": 10} | settings
    algorithm = MetaSpikeGAN(**settings)
    generators = Ensemble([make_generator(weights) for _ in range(1 + stored)])
    discriminators = DiscriminatorEnsemble([make_discriminator(weights) for _ in range(1 + stored)])
    initial = make_generator(weights), make_discriminator(weights)
    rng = torch.Generator().manual_seed(seed + 1)
    return algorithm, algorithm.init(*initial, generators, discriminators, rng)


def trials(task, rng, count=10):
    """Pixels that fire at 80 % are bright at the same places in all tasks, but for one."""
    labels = torch.arange(count) % 2
    rates = torch.full((count, PIXELS), 0.1)
    rates[:, :3] = 0.8
    rates[:, 3 + task % 3] = 0.8
    return Batch((torch.rand(STEPS, count, PIXELS, generator=rng) < rates).float(), labels)


def train(algorithm, state, updates, rng, per_task=2):
    for _ in range(updates):
        task = state.updates // per_task
        metrics = algorithm.update(state, TaskBatch(task, trials(task, rng)))
    return metrics


@pytest.mark.parametrize(
    ("meta_update", "rate"), [("reptile", Schedule(0.7, 0.1)), ("maml", Schedule(3.0, 1.0))]
)
def test_the_initialisation_learns_what_tasks_have_in_common(meta_update, rate, rng):
    """Three pixels are bright in all tasks: the mixture's mean error falls from 0.30 +- 0.017.

    In the end it is 0.07 +- 0.03 or less (8 seeds): 0.21 is 5 standard deviations from either.
    """
    algorithm, state = build(meta_update=meta_update, rate=rate, updates=120)

    def error():
        labels = torch.arange(400) % 2
        spikes = state.generator(labels, torch.Generator().manual_seed(5))
        wanted = torch.tensor([0.8] * 3 + [0.1 + 0.7 / 3] * 3)
        return float((spikes.mean((0, 1)) - wanted).abs().mean())

    before = error()
    train(algorithm, state, 120, rng)
    assert error() < 0.21 < before


def test_nothing_is_learned_before_a_task_has_ended(rng):
    algorithm, state = build()
    weights = [p.clone() for p in state.generator.parameters()]
    assert train(algorithm, state, 2, rng)["moved"] == 0
    assert all(torch.equal(a, b) for a, b in zip(weights, state.generator.parameters(), strict=True))
    assert train(algorithm, state, 1, rng)["moved"] > 0


@pytest.mark.parametrize("meta_update", ["reptile", "maml"])
def test_the_rate_falls_linearly_to_its_last_value(meta_update, rng):
    tasks = [TaskBatch(task, trials(task, rng)) for task in range(2)]

    def moved(update):
        algorithm, state = build(meta_update=meta_update, inner_steps=1, rate=Schedule(0.7, 0.1))
        algorithm._store(state, tasks[0])
        state.updates = update
        return algorithm.update(state, tasks[1])["moved"]

    ratios = [moved(update) / moved(0) for update in (20, 40, 60)]
    assert ratios == pytest.approx([4 / 7, 1 / 7, 1 / 7], rel=1e-3)


def test_buffers_are_bounded_and_keep_each_task_with_the_same_probability():
    """Labels are the tasks' numbers here. Each of 20 tasks is kept 5 times in 20; 400 streams."""
    algorithm, state = build(task_capacity=15, meta_capacity=5)
    state.rng.manual_seed(0)
    kept = torch.zeros(21)
    for _ in range(400):
        state.task, state.task_buffer, state.meta_buffer = -1, None, []
        for task in range(21):
            batch = Batch(torch.zeros(STEPS, 10, PIXELS), torch.full((10,), task))
            for _ in range(2):
                algorithm._store(state, TaskBatch(task, batch))
            assert len(state.task_buffer[0].labels) == 15
            assert len(state.meta_buffer) == min(task, 5)
        for stored, _ in state.meta_buffer:
            assert stored.spikes.shape == (STEPS, 15, PIXELS)
            kept[stored.labels.unique()] += 1
    assert kept[20] == 0  # it has not ended
    expected = 400 * 5 / 20
    chi_squared = float(((kept[:20] - expected).square() / (expected * 0.75)).sum())
    assert chi_squared < 45  # 19 degrees of freedom: false alarm below 0.001


def test_side_by_side_is_one_by_one(rng):
    """Three pairs train as one pair each would, on the same noise."""
    weights = torch.Generator().manual_seed(3)
    pairs = [(make_generator(weights), make_discriminator(weights)) for _ in range(3)]
    generators, discriminators = (
        kind(list(members))
        for kind, members in zip(
            (Ensemble, DiscriminatorEnsemble), zip(*pairs, strict=True), strict=True
        )
    )
    pairs_state = WITHIN.init(generators, discriminators, torch.Generator().manual_seed(4))
    batches = [trials(task, rng, 8) for task in range(3)]
    everything = Batch(
        torch.cat([b.spikes for b in batches], 1), torch.cat([b.labels for b in batches])
    )
    noise = generators.noise(24, torch.Generator().manual_seed(4))
    WITHIN.update(pairs_state, everything)
    for place, (pair, batch) in enumerate(zip(pairs, batches, strict=True)):
        alone = WITHIN.init(*pair, torch.Generator())
        pair[0].noise = lambda *_, place=place: {name: x[place] for name, x in noise.items()}
        WITHIN.update(alone, batch)
        for network, members in ((pair[0], generators.members), (pair[1], discriminators.members)):
            for name, parameter in network.named_parameters():
                ours = dict(members.named_parameters())[name][place]
                assert torch.allclose(ours, parameter, atol=2e-3), name


def test_fresh_parameters_are_drawn_for_each_pair(rng):
    algorithm, state = build(fresh=("layers.2",), fresh_discriminator=make_discriminator)
    initialise_from(state.discriminators, state.discriminator)
    algorithm.refresh(state.discriminators, rng)
    members = dict(state.discriminators.members.named_parameters())
    initial = dict(state.discriminator.named_parameters())
    assert all(torch.equal(x, initial["layers.0.weight"]) for x in members["layers.0.weight"])
    heads = [*members["layers.2.weight"], initial["layers.2.weight"]]
    assert len({tuple(head.flatten().tolist()) for head in heads}) == len(heads)


def test_a_state_goes_on_where_it_was_saved():
    algorithm, state = build()
    data = torch.Generator().manual_seed(2)
    train(algorithm, state, 5, data)
    at, file = data.get_state(), io.BytesIO()
    torch.save(state.state_dict(), file)
    file.seek(0)
    train(algorithm, state, 3, data)
    _, other = build(seed=7)
    other.load_state_dict(torch.load(file, weights_only=True))
    train(algorithm, other, 3, data.set_state(at))
    for mine, theirs in (
        (state.generator, other.generator),
        (state.discriminator, other.discriminator),
    ):
        for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"updates": 0}, "at least 1"),
        ({"inner_steps": 0}, "at least 1"),
        ({"inner_batch": 1}, "at least 2"),
        ({"rate": 0.7}, "a Schedule"),
        ({"meta_update": "mean"}, "reptile, maml"),
        ({"fresh": ("layers",)}, "fresh_discriminator"),
        ({"task_capacity": 1}, "at least 2"),
        ({"stored": 0}, "two or more"),
    ],
)
def test_settings_out_of_range_are_refused(settings, words):
    with pytest.raises(InputError, match=words):
        build(**settings)


def test_trials_are_checked_before_they_are_stored(rng):
    algorithm, state = build()
    good = trials(0, rng)
    algorithm.update(state, TaskBatch(0, good))
    stored = state.task_buffer[0].labels.clone()
    for bad in (
        Batch(good.spikes, good.labels[:2]),
        Batch(good.spikes[:, :0], good.labels[:0]),
        Batch(good.spikes[:2], good.labels),
        Batch(good.spikes),
    ):
        with pytest.raises(InputError, match="trials"):
            algorithm.update(state, TaskBatch(0, bad))
    assert torch.equal(state.task_buffer[0].labels, stored)


def test_fresh_parameters_have_to_be_there():
    with pytest.raises(InputError, match="fresh"):
        build(fresh=("nowhere",), fresh_discriminator=make_discriminator)
    algorithm, state = build(
        fresh=("layers.0",),
        fresh_discriminator=lambda weights: MLPDiscriminator(
            PIXELS, 2, hidden=(1,), label_scale=4.0, rng=weights
        ),
    )
    with pytest.raises(InputError, match="fresh discriminator"):
        algorithm.refresh(state.discriminators, state.rng)


def test_tasks_without_labels_are_learned_as_tasks_of_one_class(rng):
    def run(labelled):
        weights = torch.Generator().manual_seed(0)
        basis = exponential_basis(3, 2.0)
        generators = [
            ConditionalGenerator(1, PIXELS, STEPS, hidden=4, basis=basis, rng=weights) for _ in range(4)
        ]
        discriminators = [MLPDiscriminator(PIXELS, rng=weights) for _ in range(4)]
        algorithm = MetaSpikeGAN(inner=WITHIN, updates=9, inner_steps=2, inner_batch=5)
        state = algorithm.init(
            generators[0],
            discriminators[0],
            Ensemble(generators[1:]),
            DiscriminatorEnsemble(discriminators[1:]),
            torch.Generator().manual_seed(1),
        )
        data = torch.Generator().manual_seed(2)
        for task in range(4):
            spikes = trials(task, data).spikes
            labels = torch.zeros(spikes.shape[1], dtype=torch.long) if labelled else None
            algorithm.update(state, TaskBatch(task, Batch(spikes, labels)))
        file = io.BytesIO()
        torch.save(state.state_dict(), file)
        file.seek(0)
        state.load_state_dict(torch.load(file, weights_only=True))
        return torch.nn.utils.parameters_to_vector(state.generator.parameters()).detach()

    assert torch.equal(run(True), run(False))
