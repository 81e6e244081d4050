"""The command `snn-gan-ext`: train, reproduce, evaluate, sample, crosscheck, recipes."""

import difflib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Union

import torch
import tyro

from snn_gan_ext.brian.network import Target
from snn_gan_ext.errors import InputError
from snn_gan_ext.experiments import runs
from snn_gan_ext.experiments.brian_check import crosscheck_run
from snn_gan_ext.experiments.loop import Interrupted, NonFiniteError
from snn_gan_ext.experiments.papers import REPRODUCTIONS, Settings
from snn_gan_ext.experiments.recipes import RECIPES
from snn_gan_ext.experiments.recipes.base import Recipe, Split
from snn_gan_ext.experiments.report import number
from snn_gan_ext.experiments.runs import FileFormat
from snn_gan_ext.version import __version__

__all__ = ["main"]

Command = Callable[[], None]
Reproduction = Literal[
    "digits-curves", "digits-meta", "digits-noise", "digits-spikes", "nmnist-augment"
]


class CheckFailedError(Exception):
    """A trained network does something else in Brian2."""


@dataclass(frozen=True)
class RunOptions:
    """Where the run goes."""

    out: Path | None = None
    """Run folder. By default runs/RECIPE-seedN."""
    resume: bool = False
    """Go on from the folder's checkpoint."""
    force: bool = False
    """Throw away the run that is in the folder."""
    device: str = "cpu"
    """Where to train: cpu, cuda, ..."""
    tensorboard: bool = False
    """Write TensorBoard event files as well."""
    progress: bool = True
    """Show a progress bar."""


def _train_command(recipe_class: type[Recipe], given: set[str]) -> Callable[..., Command]:
    def command(recipe: Recipe, run: RunOptions) -> Command:
        return lambda: _train(recipe, run, given)

    command.__doc__ = recipe_class.summary
    command.__annotations__ = {
        "recipe": tyro.conf.OmitArgPrefixes[recipe_class],  # type: ignore[valid-type, misc]
        "run": tyro.conf.OmitArgPrefixes[RunOptions],
        "return": Command,
    }
    return command


def _train(recipe: Recipe, run: RunOptions, given: set[str]) -> None:
    folder = run.out or Path("runs") / f"{recipe.name}-seed{recipe.seed}"
    if run.resume and not run.force:
        recipe = _resumed(recipe, runs.read_recipe(folder), given)
    metrics = runs.train(
        recipe,
        folder,
        resume=run.resume,
        force=run.force,
        device=run.device,
        tensorboard=run.tensorboard,
        progress=run.progress,
    )
    print(json.dumps(metrics, indent=2))
    print(f"report: {folder / 'report.html'}", file=sys.stderr)


def _resumed(asked: Recipe, stored: Recipe, given: set[str]) -> Recipe:
    """The stored settings, and on top those that stand on the command line."""
    if type(asked) is not type(stored):
        return asked
    names = {field.name for field in fields(asked)} & given
    return replace(stored, **{name: getattr(asked, name) for name in names})


def _evaluate(run: tyro.conf.Positional[Path], device: str = "cpu", data: str = "") -> Command:
    """Judge a trained run again, from its weights, and write its report anew.

    Args:
        run: The run folder.
        device: Where to sample: cpu, cuda, ...
        data: Where its data are now, if elsewhere than while it was trained.
    """
    return lambda: print(json.dumps(runs.evaluate(run, device, data), indent=2))


def _sample(
    run: tyro.conf.Positional[Path],
    out: Path,
    format: FileFormat = "npz",
    n: int = 100,
    label: int | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> Command:
    """Draw spike trains from a trained run into a file.

    Args:
        run: The run folder.
        out: The file to write: spikes [T, n, N], labels [n], and decoded images, times or events; with
            nmnist a new folder of recordings.
        format: npz; or for recipes with events hdf5 (.h5), and nmnist, whose files Tonic reads.
        n: Number of trials.
        label: One class for all trials; the classes in turn by default.
        seed: Seed of the draws.
        device: Where to sample: cpu, cuda, ...
    """

    def command() -> None:
        drawn = runs.sample(run, out, n, label, seed, device, format)
        print(f"{out}: spikes {list(drawn['spikes'].shape)}")

    return command


def _reproduce(
    experiment: tyro.conf.Positional[Reproduction],
    out: Path | None = None,
    seeds: int = 3,
    steps: int | None = None,
    judge_steps: int | None = None,
    evaluate_on: Split = "test",
    progress: bool = True,
) -> Command:
    """Run a paper's experiment over seeds and print its table; go on where it was stopped.

    With three seeds, runs of one to five minutes each, one after another: digits-curves 15 of them,
    digits-meta 3, digits-noise 54, digits-spikes 18, nmnist-augment 6 (it finds recordings through
    SNN_GAN_EXT_DATA).

    Args:
        experiment: The SpikeGAN paper's Fig. 4 (digits-curves), Fig. 5 (digits-noise), Fig. 8
            (digits-meta), Table I (digits-spikes), or classifiers with few event recordings
            (nmnist-augment).
        out: Folder. By default runs/EXPERIMENT. What is finished there is kept.
        seeds: Number of seeds, from 0.
        steps: Training steps, if not the recipes' own.
        judge_steps: Training steps of the spiking classifier, if not the recipes' own.
        evaluate_on: The split to judge on.
        progress: Show progress bars.
    """
    folder = out or Path("runs") / experiment

    def command() -> None:
        settings = Settings(
            out=folder,
            seeds=seeds,
            steps=steps,
            judge_steps=judge_steps,
            evaluate_on=evaluate_on,
            progress=progress,
        )
        REPRODUCTIONS[experiment](settings)
        print((folder / "table.md").read_text(), end="")

    return command


def _crosscheck(
    run: tyro.conf.Positional[Path],
    target: Target = "numpy",
    trials: int = 200,
    seed: int = 0,
) -> Command:
    """Run a trained run in Brian2: the same spikes on the same noise, the same statistics on its own.

    Args:
        run: The run folder; crosscheck.json and pictures go there.
        target: What Brian2 generates code for; cython and cpp_standalone compile for minutes.
        trials: Trials of each free run.
        seed: Seed of all noise.
    """

    def command() -> None:
        found = crosscheck_run(run, target=target, trials=trials, seed=seed)
        for name, network in found["networks"].items():
            wrong = sum(network["mismatches"].values())
            print(f"{name}: {wrong} mismatched spikes of {network['replayed_spikes']}", end=" ")
            print(f"in {found['replayed_trials']} trials on the same noise;")
            print(
                f"  ours and Brian2's in {trials} trials each (p: corrected, - not testable; ISI in s):"
            )
            for line in network["statistics"]:
                values = f"{number(line['ours'])} and {number(line['brian'])}"
                print(f"  {line['name']:18} {values:24} p {number(line['p'])}")
        failed = [name for name, network in found["networks"].items() if not network["passed"]]
        if failed:
            raise CheckFailedError(f"{run / 'crosscheck.json'}: a check failed: {', '.join(failed)}")
        print(f"passed: {len(found['networks'])} of {len(found['networks'])}")

    return command


def _recipes() -> Command:
    """List the recipes."""

    def command() -> None:
        width = max(map(len, RECIPES))
        for name, recipe in RECIPES.items():
            print(f"{name:{width}}  {recipe.summary}")

    return command


def _choice(commands: dict[str, Callable[..., Any]]) -> Any:
    """The type of "one of these subcommands", which tyro reads."""
    return Union[  # noqa: UP007
        tuple(
            Annotated[Any, tyro.conf.subcommand(name=name, constructor=constructor)]
            for name, constructor in commands.items()
        )
    ]


def _parse(arguments: Sequence[str]) -> Command:
    def train(recipe: Any) -> Any:
        """Train a recipe into a run folder."""
        return recipe

    given = _options(arguments)
    trainable = _choice({name: _train_command(recipe, given) for name, recipe in RECIPES.items()})
    train.__annotations__["recipe"] = Annotated[trainable, tyro.conf.OmitSubcommandPrefixes]

    commands: dict[str, Callable[..., Any]] = {
        "train": train,
        "reproduce": _reproduce,
        "evaluate": _evaluate,
        "sample": _sample,
        "crosscheck": _crosscheck,
        "recipes": _recipes,
    }
    command: Command = tyro.cli(
        _choice(commands),
        args=arguments,
        prog="snn-gan-ext",
        description="Spiking networks that learn distributions of spike trains (--version: which one).",
    )
    return command


def _options(arguments: Sequence[str]) -> set[str]:
    """Names of the settings that stand on the command line."""
    words = (word[2:].partition("=")[0] for word in arguments if word.startswith("--"))
    return {word.replace("-", "_").removeprefix("no_") for word in words}


def _check_recipe(arguments: Sequence[str]) -> None:
    """Names the nearest recipe, where the parser would list all of them."""
    if len(arguments) < 2 or arguments[0] != "train" or arguments[1].startswith("-"):
        return
    if arguments[1] not in RECIPES:
        nearest = difflib.get_close_matches(arguments[1], RECIPES, n=1, cutoff=0)[0]
        raise InputError(
            "recipe",
            expected=f"one of {', '.join(RECIPES)}",
            got=f"{arguments[1]!r}",
            cure=f"did you mean {nearest!r}?",
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code: 0, 1 failure, 2 bad input, 128 + signal."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if list(arguments) == ["--version"]:
        print(__version__)
        return 0
    # The networks are small: a second thread gains nothing, and loses much on a busy machine.
    torch.set_num_threads(1)
    try:
        _check_recipe(arguments)
        _parse(arguments)()
    except InputError as error:
        return _fail(error, 2)
    except OSError as error:
        return _fail(f"{error.filename or 'file'}: {error.strerror or error}", 2)
    except (NonFiniteError, CheckFailedError) as error:
        return _fail(error, 1)
    except Interrupted as error:
        return _fail(error, 128 + error.signal_number)
    except KeyboardInterrupt:
        return _fail("interrupted; what the run folder holds stays", 130)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "alloc" not in str(error):
            raise
        return _fail("memory: expected sizes that fit, got larger ones; lower batch, sizes or --n", 2)
    return 0


def _fail(message: object, code: int) -> int:
    print(f"snn-gan-ext: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
