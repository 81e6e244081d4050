"""The command `snn-gan-ext`: train, reproduce, evaluate, sample, crosscheck, recipes.

Commands import the modules that need PyTorch, so that help and errors of arguments come at once.
"""

import contextlib
import difflib
import functools
import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from snn_gan_ext.errors import InputError
from snn_gan_ext.experiments.recipes import RECIPES, SUMMARIES
from snn_gan_ext.version import __version__

if TYPE_CHECKING:
    from snn_gan_ext.experiments.experiment import Experiment

__all__ = ["main"]

Format = Literal["npz", "hdf5", "nmnist"]
Target = Literal["numpy", "cython", "cpp_standalone"]
Split = Literal["validation", "test"]
Paper = Literal["digits-curves", "digits-meta", "digits-noise", "digits-spikes", "nmnist-augment"]
PROGRAM = "snn-gan-ext"


class CheckFailedError(Exception):
    """A trained network behaves differently in Brian2."""


@dataclass(frozen=True)
class RunOptions:
    """Options of the run.

    Attributes:
        out: Run folder. By default runs/RECIPE-seedN.
        updates: Training updates, of all networks. By default the recipe's.
        data: File or folder of the data. By default the recipe's.
        resume: Go on from the folder's checkpoint.
        force: Throw away the run that is in the folder.
        device: Device to train on: cpu, cuda, ...
        tensorboard: Write TensorBoard event files as well.
        progress: Show a progress bar.
    """

    out: Path | None = None
    updates: int | None = None
    data: str = ""
    resume: bool = False
    force: bool = False
    device: str = "cpu"
    tensorboard: bool = False
    progress: bool = True


def _train(name: str, arguments: Sequence[str]) -> None:
    """Train a recipe; every setting is an option."""
    experiment, run = _parse_train(RECIPES[name], name, arguments)
    folder = run.out or Path("runs") / f"{name}-seed{experiment.seed}"
    from snn_gan_ext.experiments import runs

    if run.resume and not run.force and (folder / "config.json").exists():
        # Settings that are left out are those of the run.
        stored = runs.read_experiment(folder)
        if stored.name == name:
            experiment, run = _parse_train(stored, name, arguments)
    names = ("resume", "force", "device", "tensorboard", "progress")
    metrics = runs.train(experiment, folder, **{name: getattr(run, name) for name in names})
    print(json.dumps(metrics, indent=2))
    print(f"report: {folder / 'report.html'}", file=sys.stderr)


def _parse_train(
    default: "Experiment", name: str, arguments: Sequence[str]
) -> tuple["Experiment", RunOptions]:
    """Parse options. What a setting refuses comes as an `InputError`; tyro would print it in a box."""

    @dataclass(frozen=True)
    class Train:
        experiment: Annotated[Any, tyro.conf.arg(name="")] = default
        run: Annotated[RunOptions, tyro.conf.arg(name="")] = field(default_factory=RunOptions)

    config = (tyro.conf.AvoidSubcommands, tyro.conf.SuppressFixed)
    texts: dict[str, Any] = {"prog": f"{PROGRAM} train {name}", "description": SUMMARIES[name]}
    parse = functools.partial(tyro.cli, Train, args=arguments, config=config, **texts)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            parsed = parse()
    except SystemExit as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, InputError):
            cause = cause.__context__
        if cause is not None:
            raise cause from None
        if not error.code:
            raise
        parsed = parse()  # once more, for its message
    experiment: Experiment = parsed.experiment
    if parsed.run.updates is not None:
        experiment = experiment.with_updates(parsed.run.updates)
    if parsed.run.data:
        experiment = experiment.with_data(parsed.run.data)
    return experiment, parsed.run


def train(recipe: tyro.conf.Positional[str]) -> None:
    """Train a recipe into a run folder; `train RECIPE --help` lists its settings.

    Args:
        recipe: Name of a recipe; `recipes` lists them.
    """
    raise AssertionError("`main` parses the recipe's own options")


def evaluate(run: tyro.conf.Positional[Path], device: str = "cpu", data: str = "") -> None:
    """Evaluate a trained run again, from its weights, and write its report anew.

    Args:
        run: Run folder.
        device: Device to sample on: cpu, cuda, ...
        data: File or folder of its data, if they have moved since training.
    """
    from snn_gan_ext.experiments import runs

    print(json.dumps(runs.evaluate(run, device, data), indent=2))


def sample(
    run: tyro.conf.Positional[Path],
    out: Path,
    format: Format = "npz",
    n: int = 100,
    label: int | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> None:
    """Draw spike trains from a trained run into a file.

    Args:
        run: Run folder.
        out: File to write: spikes [T, n, N], labels [n], and decoded images, times or events; with
            nmnist a new folder of recordings.
        format: npz; or for recipes with events hdf5 (.h5), and nmnist, whose files Tonic reads.
        n: Number of trials.
        label: Class of all trials; the classes in turn by default.
        seed: Seed of the draws.
        device: Device to sample on: cpu, cuda, ...
    """
    from snn_gan_ext.experiments import samples

    drawn = samples.sample(run, out, n, label, seed, device, format)
    print(f"{out}: spikes {list(drawn['spikes'].shape)}")


def reproduce(
    experiment: tyro.conf.Positional[Paper],
    out: Path | None = None,
    seeds: int = 3,
    updates: int | None = None,
    classifier_updates: int | None = None,
    evaluate_on: Split = "test",
    progress: bool = True,
) -> None:
    """Run a paper's experiment over seeds and print its table; go on where it was stopped.

    With three seeds, runs of one to five minutes each, one after another: digits-curves 15 of them,
    digits-meta 3, digits-noise 54, digits-spikes 18, nmnist-augment 6 (it finds recordings through
    SNN_GAN_EXT_DATA).

    Args:
        experiment: The SpikeGAN paper's Fig. 4 (digits-curves), Fig. 5 (digits-noise), Fig. 8
            (digits-meta), Table I (digits-spikes), or classifiers with few event recordings
            (nmnist-augment).
        out: Folder. By default runs/EXPERIMENT. Finished runs in it are kept.
        seeds: Number of seeds, from 0.
        updates: Training updates, if not the recipes' own.
        classifier_updates: Training updates of the spiking classifier, if not the recipes' own.
        evaluate_on: Split of the evaluation.
        progress: Show progress bars.
    """
    from snn_gan_ext.experiments.papers import PAPERS, Settings

    folder = out or Path("runs") / experiment
    settings = Settings(
        out=folder,
        seeds=seeds,
        updates=updates,
        classifier_updates=classifier_updates,
        evaluate_on=evaluate_on,
        progress=progress,
    )
    PAPERS[experiment](settings)
    print((folder / "table.md").read_text(), end="")


def crosscheck(
    run: tyro.conf.Positional[Path], target: Target = "numpy", trials: int = 200, seed: int = 0
) -> None:
    """Run a trained run in Brian2: the same spikes on the same noise, the same statistics on its own.

    Args:
        run: Run folder; crosscheck.json and pictures go there.
        target: Brian2's code generation target; cython and cpp_standalone compile for minutes.
        trials: Trials of each free run.
        seed: Seed of all noise.
    """
    from snn_gan_ext.experiments.brian_check import crosscheck_run
    from snn_gan_ext.experiments.report import number

    found = crosscheck_run(run, target=target, trials=trials, seed=seed)
    for name, network in found["networks"].items():
        wrong, spikes = sum(network["mismatches"].values()), network["replayed_spikes"]
        same = f"in {found['replayed_trials']} trials on the same noise"
        print(f"{name}: {wrong} mismatched spikes of {spikes} {same};")
        each = f"in {found['trials']} trials each"
        print(f"  ours and Brian2's {each} (p: corrected, - not testable; ISI in s):")
        for line in network["statistics"]:
            values = f"{number(line['ours'])} and {number(line['brian'])}"
            print(f"  {line['name']:18} {values:24} p {number(line['p'])}")
    failed = [name for name, network in found["networks"].items() if not network["passed"]]
    if failed:
        raise CheckFailedError(f"{run / 'crosscheck.json'}: a check failed: {', '.join(failed)}")
    print(f"passed: {len(found['networks'])} of {len(found['networks'])}")


def recipes() -> None:
    """List the recipes."""
    width = max(map(len, SUMMARIES))
    for name, summary in SUMMARIES.items():
        print(f"{name:{width}}  {summary}")


def _later(command: Callable[..., None]) -> Callable[..., Callable[[], None]]:
    """Bind arguments alone: within its parser, tyro would take a command's errors for its own."""

    @functools.wraps(command)
    def bind(*arguments: Any, **options: Any) -> Callable[[], None]:
        return functools.partial(command, *arguments, **options)

    return bind


COMMANDS = {
    command.__name__: _later(command)
    for command in (train, reproduce, evaluate, sample, crosscheck, recipes)
}


def _run(arguments: Sequence[str]) -> None:
    if list(arguments) == ["--version"]:
        print(__version__)
        return
    command: Callable[[], None]
    if len(arguments) > 1 and arguments[0] == "train" and not arguments[1].startswith("-"):
        name = arguments[1]
        if name not in SUMMARIES:
            cure = f"did you mean {difflib.get_close_matches(name, SUMMARIES, n=1, cutoff=0)[0]!r}?"
            expected = f"one of {', '.join(SUMMARIES)}"
            raise InputError("recipe", expected=expected, got=f"{name!r}", cure=cure)
        command = functools.partial(_train, name, arguments[2:])
    else:
        text = "Spiking networks that learn distributions of spike trains (also: --version)."
        command = tyro.extras.subcommand_cli_from_dict(
            COMMANDS, args=arguments, prog=PROGRAM, description=text
        )
    if "torch" in sys.modules or arguments[0] != "recipes":
        import torch

        # The networks are small: a second thread gains nothing, and loses much on a busy machine.
        torch.set_num_threads(1)
    command()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, 1 failure, 2 bad input, 128 + signal."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader, such as `head`, has closed the pipe; Python's last flush must not fail on it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except InputError as error:
        return _fail(error, 2)
    except OSError as error:
        return _fail(f"{error.filename or 'file'}: {error.strerror or error}", 2)
    except CheckFailedError as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        return _fail("interrupted; the contents of the run folder stay", 130)
    except Exception as error:
        return _code_of(error)
    return 0


def _code_of(error: Exception) -> int:
    """Exit codes of errors whose classes need PyTorch."""
    from snn_gan_ext.experiments.loop import Interrupted, NonFiniteError

    if isinstance(error, NonFiniteError):
        return _fail(error, 1)
    if isinstance(error, Interrupted):
        return _fail(error, 128 + error.signal_number)
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "alloc" in str(error)):
        return _fail("memory: expected sizes that fit, got larger ones; lower batch, sizes or --n", 2)
    raise error


def _fail(message: object, code: int) -> int:
    print(f"{PROGRAM}: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
