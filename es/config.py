"""The experiment: TOML in, one frozen, fully checked struct out.

``load`` is the only way in. Every mistake ends as an ``ExperimentError`` of one line that names the file,
the field, the value that arrived and what is allowed.
"""

import difflib
import importlib.resources
import itertools
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import tomli_w
from msgspec import Meta, Struct

from es.errors import ExperimentError

# NaN fails every bound and infinity fails the upper ones, so each number states both.
Positive = Annotated[float, Meta(gt=0, le=1e9)]
NonNegative = Annotated[float, Meta(ge=0, le=1e9)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Decay = Annotated[float, Meta(ge=0, lt=1)]
Count = Annotated[int, Meta(ge=1, le=10**12)]
Size = Annotated[int, Meta(ge=1, le=10**6)]
Seed = Annotated[int, Meta(ge=0, le=2**62)]
Shaping = Literal["centered_ranks", "raw", "sign", "centered_sign_ranks"]
Activation = Literal["tanh", "relu", "elu", "lrelu"]


class _Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the experiment file."""


class Environment(_Section, frozen=True, kw_only=True):
    """What is controlled: any Gymnasium environment."""

    id: Annotated[str, Meta(min_length=1)]
    """Gymnasium id, e.g. ``es/LearningToRun-v0``, ``CartPole-v1`` or ``my_package:MyEnv-v0``."""
    arguments: dict[str, Any] = {}
    """Keyword arguments for ``gymnasium.make``."""
    action_repeat: Annotated[int, Meta(ge=1, le=1000)] = 1
    """Environment steps for which the policy holds each action (frame skip)."""


class Squashed(_Section, frozen=True, kw_only=True, tag_field="kind", tag="squashed"):
    """Continuous actions: a sigmoid maps each output onto the bounds; unbounded dimensions pass through."""

    gain: Positive = 1.0
    """Steepness of the sigmoid; large values drive the actions towards on/off."""
    bias: Annotated[float, Meta(ge=-100, le=100)] = 0.0
    """Added to the outputs; a negative one starts bounded actions nearer to their lower bound."""
    floor: Decay = 0.0
    """Share of the range left out at its lower end. Muscles that are never quite off (0.05) keep the
    simulation from turning stiff and slow."""


class UniformBins(_Section, frozen=True, kw_only=True, tag_field="kind", tag="uniform_bins"):
    """Discretised actions: argmax over equally spaced values between the bounds, per dimension."""

    bins: Annotated[int, Meta(ge=2, le=1000)] = 5
    """Number of values per action dimension, both bounds included."""


class CustomBins(_Section, frozen=True, kw_only=True, tag_field="kind", tag="custom_bins"):
    """Discretised actions: argmax over the given values, the same for each dimension."""

    values: Annotated[tuple[Annotated[float, Meta(ge=-1e9, le=1e9)], ...], Meta(min_length=2)]
    """The values, in action units; all within the action bounds."""


class Linear(_Section, frozen=True, kw_only=True, tag_field="kind", tag="linear"):
    """One affine map from observation to action."""

    head: Squashed | UniformBins | CustomBins = Squashed()
    """How outputs become actions; discrete action spaces always take the argmax."""


class MLP(_Section, frozen=True, kw_only=True, tag_field="kind", tag="mlp"):
    """A fully connected network."""

    hidden: Annotated[tuple[Size, ...], Meta(min_length=1, max_length=16)] = (64, 64)
    """Units of each hidden layer."""
    activation: Activation = "tanh"
    """Non-linearity of the hidden layers."""
    head: Squashed | UniformBins | CustomBins = Squashed()
    """How outputs become actions; discrete action spaces always take the argmax."""


class Symmetric(_Section, frozen=True, kw_only=True, tag_field="kind", tag="symmetric"):
    """One network for both legs of Learning to Run: it sees left and right as own and opposite leg."""

    hidden: Annotated[tuple[Size, ...], Meta(max_length=16)] = (64, 64)
    """Units of each hidden layer; none, `[]`, gives a linear policy."""
    activation: Activation = "tanh"
    """Non-linearity of the hidden layers."""
    clock_hz: Annotated[float, Meta(gt=0, le=50)] | None = None
    """Strides per second of simulated time: adds sine and cosine of the phase since the start of the episode,
    half a cycle later for the left leg, to what the network sees. Without it, legs that start alike act alike
    for as long as nothing else, such as their strengths, tells them apart."""
    clock_harmonics: Annotated[int, Meta(ge=1, le=8)] = 1
    """How many of the clock's harmonics the network sees: the stride's frequency, twice that, ..."""
    clock_learned: bool = False
    """Whether the clock's speed is a parameter too: `clock_hz` times the exponential of the first one."""
    head: Squashed | UniformBins | CustomBins = Squashed()
    """How outputs become actions."""


class Gait(_Section, frozen=True, kw_only=True, tag_field="kind", tag="gait"):
    """A walking controller of a few dozen numbers, to find a first gait with.

    A linear `symmetric` policy with two harmonics of the same learned clock goes on from it by `warm_start`.
    """

    clock_hz: Annotated[float, Meta(gt=0, le=50)] = 1.3
    """Strides per second of simulated time to begin with."""
    head: Squashed | UniformBins | CustomBins = Squashed()
    """How outputs become actions."""


AnyPolicy = Linear | MLP | Symmetric | Gait


class Adam(_Section, frozen=True, kw_only=True, tag_field="kind", tag="adam"):
    """Adam (Kingma and Ba 2015, arXiv 1412.6980)."""

    learning_rate: Positive = 0.01
    """Step size, in parameter units."""
    beta1: Decay = 0.9
    """Decay of the first moment."""
    beta2: Decay = 0.999
    """Decay of the second moment."""
    epsilon: Positive = 1e-8
    """Added to the denominator."""


class SGD(_Section, frozen=True, kw_only=True, tag_field="kind", tag="sgd"):
    """Gradient ascent with momentum: v <- m v + (1 - m) g, theta <- theta + learning_rate v."""

    learning_rate: Positive = 0.01
    """Step size, in parameter units per unit of gradient."""
    momentum: Decay = 0.9
    """m, the decay of the velocity."""


class OpenAIES(_Section, frozen=True, kw_only=True, tag_field="kind", tag="openai_es"):
    """The natural evolution strategy of Salimans et al. 2017 (arXiv 1703.03864)."""

    sigma: Positive = 0.05
    """Standard deviation of the parameter noise (0.02 in the paper's MuJoCo experiments)."""
    shaping: Shaping = "centered_ranks"
    """What stands in for the returns in the gradient (the paper: ranks)."""
    weight_decay: NonNegative = 0.0
    """L2 coefficient: this times theta is subtracted from the gradient estimate, which includes 1/sigma.
    The paper's released code omits 1/sigma, so its 0.005 is 0.005 / sigma here."""
    action_noise: NonNegative = 0.0
    """Standard deviation of Gaussian noise on continuous actions during training, in action units."""
    optimizer: Adam | SGD = Adam()
    """Turns the gradient estimate into a step."""


class Population(_Section, frozen=True, kw_only=True):
    """How much is evaluated per generation."""

    size: Annotated[int, Meta(ge=2, multiple_of=2, le=10**7)] = 40
    """Perturbed policies per generation, in mirrored pairs, one episode each; even."""
    pairs_per_task: Size = 1
    """Mirrored pairs in one message; raise it where episodes take less than about 20 ms."""


class Budget(_Section, frozen=True, kw_only=True):
    """When training ends: with the first limit reached. At least one is needed."""

    generations: Count | None = None
    """Updates."""
    hours: Positive | None = None
    """Wall time over all sessions of the run; not reproducible to the generation."""
    episodes: Count | None = None
    """Training episodes; no generation starts that would exceed it."""
    steps: Count | None = None
    """Environment steps in training; no generation starts once it is reached."""

    def __post_init__(self) -> None:
        """Demand a limit."""
        if not any((self.generations, self.hours, self.episodes, self.steps)):
            raise ValueError("expected at least one of `generations`, `hours`, `episodes`, `steps`")


class EpisodeCap(_Section, frozen=True, kw_only=True):
    """Cuts episodes short, and longer when enough of them reach the cut (section 4.1 of the paper)."""

    start: Count
    """Environment steps at first."""
    threshold: Fraction = 0.5
    """Raised when at least this share of a generation's episodes reached the cap."""
    factor: Annotated[float, Meta(ge=1, le=100)] = 1.0
    """The cap is multiplied by this; 1 keeps it fixed."""
    maximum: Count = 10**9
    """Never above this."""

    def __post_init__(self) -> None:
        """Demand an order."""
        if self.maximum < self.start:
            raise ValueError(f"expected `maximum` of at least `start` = {self.start}, got {self.maximum}")


PHYSICS_ARGUMENTS = frozenset({"backend", "integrator", "accuracy"})

Observations = Annotated[tuple[Annotated[int, Meta(ge=0, le=10**6)], ...], Meta(min_length=1)]


class ManualFeatures(_Section, frozen=True, kw_only=True, tag_field="kind", tag="manual"):
    """These observations are shifted and scaled by given numbers; 0 and 1 leave them as they are."""

    observations: Observations
    """Their indices, from 0, as `es observations` lists them."""
    mean: Annotated[float, Meta(ge=-1e9, le=1e9)] = 0.0
    """Subtracted, in the observations' unit."""
    std: Positive = 1.0
    """Divided by, in the observations' unit."""


class FrozenFeatures(_Section, frozen=True, kw_only=True, tag_field="kind", tag="frozen"):
    """The statistics of these observations stop changing."""

    observations: Observations
    """Their indices, from 0, as `es observations` lists them."""
    after: Annotated[int, Meta(ge=0, le=10**12)]
    """The last generation that counts, unless nothing was seen by then; 0 keeps a warm start's statistics."""


class ObservationNormalization(_Section, frozen=True, kw_only=True):
    """Observations are shifted and scaled by their running mean and standard deviation."""

    enabled: bool = True
    """Whether to do so."""
    fraction: Fraction = 0.1
    """Share of training episodes whose observations enter the statistics (0.01 in the paper)."""
    clip: Positive = 5.0
    """Normalised observations, manual ones too, are clipped to +- this (the paper's code: 5)."""
    std_floor: Positive = 0.01
    """Smallest running standard deviation to divide by, in the observation's unit."""
    frozen_after: Annotated[int, Meta(ge=0, le=10**12)] | None = None
    """As `after` of frozen features, for all observations; None never stops."""
    features: tuple[ManualFeatures | FrozenFeatures, ...] = ()
    """Observations treated otherwise, each in at most one entry."""

    def __post_init__(self) -> None:
        """Refuse two rules for one observation."""
        listed = [index for feature in self.features for index in feature.observations]
        twice = sorted({index for index in listed if listed.count(index) > 1})
        if twice:
            raise ValueError(f"expected each observation once in `features`, got {twice} more than once")


class Stage(_Section, frozen=True, kw_only=True):
    """A part of the curriculum: training, not evaluation, takes place in a changed environment."""

    generation: Annotated[int, Meta(ge=2, le=10**12)]
    """The first generation of this stage, which lasts until the next one's."""
    arguments: Annotated[dict[str, Any], Meta(min_length=1)]
    """What differs from `environment.arguments`, e.g. difficulty and max_obstacles; the arguments of earlier
    stages do not carry over."""


class Evaluation(_Section, frozen=True, kw_only=True):
    """Unperturbed episodes of the current centre; they do not influence the update."""

    every: Annotated[int, Meta(ge=0)] = 10
    """Generations between evaluations; 0 means never. The last generation is always evaluated otherwise."""
    episodes: Annotated[int, Meta(ge=1, le=10**5)] = 5
    """Episodes per evaluation."""
    seed: Annotated[int, Meta(ge=0, lt=2**31)] = 1_000_000
    """Episode i is reset with seed + i, the same in each evaluation, so that they can be compared."""
    arguments: dict[str, Any] = {}
    """Environment arguments that differ from training, e.g. the reference physics, in `es evaluate` too."""


class Checkpoint(_Section, frozen=True, kw_only=True):
    """How often the state is written to disk."""

    every: Count = 1
    """Generations between checkpoints; the first and the last state are always written."""


class WarmStart(_Section, frozen=True, kw_only=True):
    """Begin from the centre of another run instead of random parameters."""

    checkpoint: Annotated[str, Meta(min_length=1)]
    """A checkpoint file. Its network may be narrower than this one's; observation statistics come along."""


class Experiment(_Section, frozen=True, kw_only=True):
    """Everything that determines a run."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    """Names the run directory: letters, digits, dot, dash, underscore."""
    description: str = ""
    """One sentence for people."""
    seed: Seed = 1
    """Everything random derives from it."""
    environment: Environment
    curriculum: tuple[Stage, ...] = ()
    policy: AnyPolicy = Linear()
    strategy: OpenAIES = OpenAIES()
    population: Population = Population()
    budget: Budget
    episode_cap: EpisodeCap | None = None
    observation_normalization: ObservationNormalization = ObservationNormalization()
    evaluation: Evaluation = Evaluation()
    checkpoint: Checkpoint = Checkpoint()
    warm_start: WarmStart | None = None

    def __post_init__(self) -> None:
        """Refuse what no single field can see."""
        starts = [stage.generation for stage in self.curriculum]
        if any(later <= earlier for earlier, later in itertools.pairwise(starts)):
            raise ValueError(f"curriculum: expected generations in ascending order, got {starts}")
        episodes = self.budget.episodes
        if episodes is not None and episodes < self.population.size:
            raise ValueError(
                f"budget.episodes = {episodes} does not allow one generation of "
                f"population.size = {self.population.size}"
            )
        if episodes is not None and self.evaluation.every and self.evaluation.episodes > episodes:
            raise ValueError(
                f"evaluation.episodes = {self.evaluation.episodes} is more than budget.episodes = {episodes}"
            )
        if self.population.pairs_per_task > self.population.size // 2:
            raise ValueError(
                f"population.pairs_per_task = {self.population.pairs_per_task} is more than the "
                f"{self.population.size // 2} pairs of population.size = {self.population.size}"
            )


def training_environment(experiment: Experiment, generation: int) -> Environment:
    """The environment of a generation's training episodes."""
    environment = experiment.environment
    begun = [stage for stage in experiment.curriculum if stage.generation <= generation]
    changes = begun[-1].arguments if begun else {}
    return msgspec.structs.replace(environment, arguments=environment.arguments | changes)


def evaluation_environment(experiment: Experiment) -> Environment:
    """The environment in which scores are taken."""
    environment = experiment.environment
    arguments = environment.arguments | experiment.evaluation.arguments
    return msgspec.structs.replace(environment, arguments=arguments)


def same_in_training_physics(experiment: Experiment) -> Environment | None:
    """The environment of evaluations, but with the physics of training; None if those are the same.

    `backend`, `integrator` and `accuracy` choose the physics, as in `es.envs.learning_to_run`.
    """
    training, evaluation = experiment.environment, evaluation_environment(experiment)
    arguments = {name: value for name, value in evaluation.arguments.items() if name not in PHYSICS_ARGUMENTS}
    arguments |= {name: training.arguments[name] for name in PHYSICS_ARGUMENTS & training.arguments.keys()}
    if arguments == evaluation.arguments:
        return None
    return msgspec.structs.replace(evaluation, arguments=arguments)


def shipped() -> dict[str, Path]:
    """The experiments that come with the package, by name."""
    folder = Path(str(importlib.resources.files("es") / "experiments"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load(experiment: str | Path, overrides: Iterable[str] = ()) -> Experiment:
    """Read an experiment.

    Args:
        experiment: path of a TOML file, or the name of a shipped experiment.
        overrides: ``section.field=value`` strings with TOML values, applied on top of the file.

    Raises:
        ExperimentError: anything wrong with it, in one line.
    """
    path = _find(experiment)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ExperimentError(f"{path}: cannot read the experiment: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ExperimentError(f"{path}: not valid TOML: {error}") from error
    return parse(text, path.stem if path in shipped().values() else str(path), overrides)


def parse(text: str, source: str, overrides: Iterable[str] = ()) -> Experiment:
    """Read an experiment from TOML; ``source`` is named in errors.

    Raises:
        ExperimentError: anything wrong with it, in one line.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ExperimentError(f"{source}: not valid TOML: {error}") from error
    for override in overrides:
        _apply(raw, override)
    return convert(raw, source)


def convert(raw: dict[str, Any], source: str) -> Experiment:
    """Turn plain data into a checked ``Experiment``; ``source`` is named in errors."""
    try:
        return msgspec.convert(raw, Experiment)
    except msgspec.ValidationError as error:
        raise ExperimentError(f"{source}: {explain(raw, error, Experiment)}") from error


def to_toml(experiment: Experiment) -> str:
    """The experiment with every setting spelled out, as TOML that ``load`` reads back to an equal struct."""
    return tomli_w.dumps(_without_none(msgspec.to_builtins(experiment)))


def _find(experiment: str | Path) -> Path:
    path = Path(experiment)
    if path.suffix == ".toml" or path.is_file():
        return path
    known = shipped()
    if str(experiment) in known:
        return known[str(experiment)]
    raise ExperimentError(
        f"{experiment}: no such experiment; expected a .toml file or one of {', '.join(known)}"
    )


def _apply(raw: dict[str, Any], override: str) -> None:
    field, equals, text = override.partition("=")
    parts = field.strip().split(".")
    if not equals or not all(parts):
        raise ExperimentError(f"--set {override}: expected section.field=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()  # a bare word is a string, so that --set policy.kind=linear works
    table = raw
    for part in parts[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise ExperimentError(f"--set {override}: `{part}` is a value, not a section")
    table[parts[-1]] = value


def explain(raw: dict[str, Any], error: msgspec.ValidationError, root: type[Struct]) -> str:
    """Rephrase msgspec's message about a ``root`` as ``field = value: what is allowed``."""
    reason, _, where = str(error).partition(" - at `$")
    keys = [
        int(k[1:-1]) if k[0] == "[" else k[1:] for k in re.findall(r"\.[^.\[]+|\[\d+\]", where.rstrip("`"))
    ]
    field = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).lstrip(".")
    value: Any = raw
    for key in keys:
        value = value[key] if isinstance(value, list) or key in value else None
    unknown = re.fullmatch(r"Object contains unknown field `(.+)`", reason)
    if unknown:
        allowed = _fields(root, raw, keys)
        close = difflib.get_close_matches(unknown[1], allowed, 1)
        hint = f"did you mean `{close[0]}`? " if close else ""
        full = f"{field}.{unknown[1]}".lstrip(".")
        return f"{full} = {value[unknown[1]]!r}: unknown field; {hint}allowed: {', '.join(allowed)}"
    if reason.startswith("Invalid"):
        choices = _choices(root, raw, keys)
        return f"{field} = {value!r}: expected one of {', '.join(choices)}"
    missing = re.fullmatch(r"Object missing required field `(.+)`", reason)
    if missing:
        full = f"{field}.{missing[1]}".lstrip(".")
        kinds = _choices(root, raw, [*keys, "kind"]) if missing[1] == "kind" else []
        return f"{full} is missing" + (f"; expected one of {', '.join(kinds)}" if kinds else "")
    if isinstance(value, dict):
        return f"{field}: {reason}".lstrip(": ")
    return f"{field} = {value!r}: {reason[0].lower()}{reason[1:]}"


def _struct(root: type[Struct], raw: dict[str, Any], keys: list[str | int]) -> list[Any]:
    """The struct classes that the table at ``keys`` may be, narrowed by each ``kind`` on the way."""
    types: list[Any] = [root]
    table: Any = raw
    for key in keys:
        if isinstance(key, str):
            types = [
                option
                for owner in types
                for option in _options(get_type_hints(owner, include_extras=False).get(key))
                if isinstance(option, type) and issubclass(option, Struct)
            ]
        table = table[key]
        kind = table.get("kind") if isinstance(table, dict) else None
        types = [t for t in types if kind is None or t.__struct_config__.tag == kind] or types
    return types


def _options(annotation: Any) -> tuple[Any, ...]:
    """The types an annotation allows; for a tuple, those of its items."""
    if get_origin(annotation) is tuple:
        return _options(get_args(annotation)[0])
    union = get_origin(annotation) is Union or type(annotation).__name__ == "UnionType"
    return get_args(annotation) if union else (annotation,)


def _fields(root: type[Struct], raw: dict[str, Any], keys: list[str | int]) -> list[str]:
    owner = _struct(root, raw, keys)[0]
    tag = ["kind"] if owner.__struct_config__.tag_field else []
    return tag + list(owner.__struct_fields__)


def _choices(root: type[Struct], raw: dict[str, Any], keys: list[str | int]) -> list[str]:
    if keys[-1] == "kind":
        return [repr(option.__struct_config__.tag) for option in _struct(root, raw, keys[:-1])]
    owner = _struct(root, raw, keys[:-1])[0]
    return [repr(choice) for choice in get_args(get_type_hints(owner)[str(keys[-1])])]


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return value
