"""The experiment: TOML in, one frozen, fully checked struct out.

``load`` is the only way in. Every mistake ends as an ``ExperimentError`` of one line that names the file,
the field, the value that arrived and what is allowed.
"""

import importlib.resources
import tomllib
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import tomli_w
from msgspec import Meta, Struct

from es.errors import ExperimentError
from es.explain import explain

# NaN fails every bound and infinity fails the upper ones, so each number states both.
Positive = Annotated[float, Meta(gt=0, le=1e9)]
NonNegative = Annotated[float, Meta(ge=0, le=1e9)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Decay = Annotated[float, Meta(ge=0, lt=1)]
Count = Annotated[int, Meta(ge=1, le=10**12)]
Size = Annotated[int, Meta(ge=1, le=10**6)]
Even = Annotated[int, Meta(ge=2, multiple_of=2, le=10**7)]
Seed = Annotated[int, Meta(ge=0, le=2**62)]
Shaping = Literal["centered_ranks", "raw", "sign", "centered_sign_ranks"]
Activation = Literal["tanh", "relu", "elu", "lrelu"]
Reflexes = Literal["none", "balance", "all"]
Initial = Literal["random", "zero"]
GaitStart = Literal["typical", "running", "mid_stride"]


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


class Clipped(_Section, frozen=True, kw_only=True, tag_field="kind", tag="clipped"):
    """Continuous actions: the outputs themselves, clipped to the bounds, as linear policies of ARS act."""


class UniformBins(_Section, frozen=True, kw_only=True, tag_field="kind", tag="uniform_bins"):
    """Discretised actions: argmax over equally spaced values between the bounds, per dimension."""

    bins: Annotated[int, Meta(ge=2, le=1000)] = 5
    """Number of values per action dimension, both bounds included."""


class CustomBins(_Section, frozen=True, kw_only=True, tag_field="kind", tag="custom_bins"):
    """Discretised actions: argmax over the given values, the same for each dimension."""

    values: Annotated[tuple[Annotated[float, Meta(ge=-1e9, le=1e9)], ...], Meta(min_length=2)]
    """The values, in action units; all within the action bounds."""


AnyHead = Squashed | Clipped | UniformBins | CustomBins


class Linear(_Section, frozen=True, kw_only=True, tag_field="kind", tag="linear"):
    """One affine map from observation to action."""

    head: AnyHead = Squashed()
    """How outputs become actions; discrete action spaces always take the argmax."""


class MLP(_Section, frozen=True, kw_only=True, tag_field="kind", tag="mlp"):
    """A fully connected network."""

    hidden: Annotated[tuple[Size, ...], Meta(min_length=1, max_length=16)] = (64, 64)
    """Units of each hidden layer."""
    activation: Activation = "tanh"
    """Non-linearity of the hidden layers."""
    initial: Initial = "random"
    """Where a search begins: at random weights that give small outputs, or with every parameter 0, as
    Stable-Baselines3's ARS does: there sigma is all that moves the hidden layers at first."""
    head: AnyHead = Squashed()
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
    clock_steered: bool = False
    """Whether the legs' states hurry the clock or hold it back, by parameters: legs that fell out of step
    find back. On the gait observation only."""
    head: AnyHead = Squashed()
    """How outputs become actions."""


Strength = Annotated[float, Meta(gt=0, le=2)]


class Residual(_Section, frozen=True, kw_only=True):
    """Weights of each muscle's own, beside those that a gait's joints give it (`es.policies.residual`)."""

    hidden: Annotated[int, Meta(ge=0, le=1000)] = 40
    """Hidden units. 9 (90 + hidden) weights are searched, 1,170 with 40; without any, those of inputs and a
    bias."""


class Gait(_Section, frozen=True, kw_only=True, tag_field="kind", tag="gait"):
    """A walking controller of a few dozen numbers, to find a first gait with.

    A linear `symmetric` policy with two harmonics of the same learned and steered clock goes on from one
    without opening, residual and strengths, in the next stage or by `warm_start`.
    """

    clock_hz: Annotated[float, Meta(gt=0, le=50)] = 1.3
    """Strides per second of simulated time to begin with."""
    reflexes: Reflexes = "none"
    """Further reflexes, for a gait that walks already: "balance" adds those that heed no obstacle, a tone for
    each muscle and a clock that the legs steer (96 numbers in all), "all" what places the feet too (193)."""
    start: GaitStart = "typical"
    """Where it begins: at typical values, or at the joint angles of human running, from a random moment on or
    ("mid_stride") from the one at which `running_start` begins."""
    opening: Annotated[float, Meta(ge=0, le=10)] = 0.0
    """For how many seconds the start of an episode has parameters of its own: the gait's once more, without
    the residual, and one for the clock (`es.policies.opening`); 0 for none."""
    residual: Residual | None = None
    """Further weights of each muscle, which gait and opening share; none without this table."""
    strengths: tuple[Strength, ...] = ()
    """Strengths of the right psoas, beside the mean one of 1, for which gait and opening have numbers of
    their own, in ascending order (`es.policies.schedule`)."""
    head: AnyHead = Squashed()
    """How outputs become actions."""

    def __post_init__(self) -> None:
        """Demand an order."""
        if any(later <= earlier for earlier, later in pairwise(self.strengths)) or 1.0 in self.strengths:
            raise ValueError(
                f"expected `strengths` in ascending order, without the mean, 1, got {list(self.strengths)}"
            )


class Planner(_Section, frozen=True, kw_only=True, tag_field="kind", tag="planner"):
    """A gait whose drives are searched for while it runs, on the compiled twin (`es.policies.planner`).

    It sees the challenge's own 41 values, and takes obstacles to be solid as 2017's were (0.1 m). Its
    parameters are the gait's, and those of a small network that tells the search what a moment is worth. It
    goes on from such a gait by `warm_start`.
    """

    gait: Gait
    """The runner that it plans around."""
    samples: Annotated[int, Meta(ge=4, le=10_000)] = 64
    """Plans that are tried at a time."""
    best: Annotated[int, Meta(ge=1, le=10_000)] = 8
    """Of these, how many make the plan that is followed: their mean."""
    spread: Positive = 0.6
    """Standard deviation of what a try adds to each drive, before the head."""
    perturbed: Literal["muscles", "joints"] = "muscles"
    """What tries push: each muscle's drive by itself, or hips, knees and ankles, that is the drives of all
    muscles that turn them: a third of the dimensions."""
    hold: Annotated[float, Meta(gt=0, le=1)] = 0.08
    """For how many seconds a push is held, and a plan followed until the next is made."""
    pushes: Annotated[int, Meta(ge=1, le=100)] = 7
    """That a plan has, one after the other."""
    ahead: Annotated[float, Meta(gt=0, le=10)] = 1.12
    """How many seconds a try is followed; after its pushes the gait acts alone."""
    accuracy: Positive = 0.02
    """Of the twin in these tries."""
    hidden: Annotated[int, Meta(ge=1, le=1000)] = 32
    """Units in each of the two hidden layers of that network."""

    def __post_init__(self) -> None:
        """Refuse what no single field can see."""
        if self.best > self.samples:
            raise ValueError(f"policy.best = {self.best} is more than policy.samples = {self.samples}")


AnyPolicy = Linear | MLP | Symmetric | Gait | Planner


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


class ClipUp(_Section, frozen=True, kw_only=True, tag_field="kind", tag="clipup"):
    """Momentum over normalised gradients, with a speed limit (Toklu et al. 2020, arXiv 2008.02387)."""

    max_speed: Positive = 0.15
    """Longest step, in parameter units (the paper's code: 0.15, and 0.015 for MuJoCo)."""
    learning_rate: Positive | None = None
    """Length of the step that one gradient adds, whatever its size; None is half of `max_speed`, as in the
    paper."""
    momentum: Decay = 0.9
    """Share of the velocity that is kept (the paper: 0.9)."""


AnyOptimizer = Adam | SGD | ClipUp


class _Strategy(_Section, frozen=True, kw_only=True):
    """What every strategy offers, whatever it does with the returns."""

    action_noise: NonNegative = 0.0
    """Standard deviation of Gaussian noise on continuous actions during training, in action units."""
    average: Decay = 0.0
    """Decay per generation of an exponential average of the centre, which is then what evaluations run and
    later stages start from; 0 keeps none. 0.93 or so forgets the last generation's luck."""


class OpenAIES(_Strategy, frozen=True, kw_only=True, tag_field="kind", tag="openai_es"):
    """The natural evolution strategy of Salimans et al. 2017 (arXiv 1703.03864)."""

    sigma: Positive = 0.05
    """Standard deviation of the parameter noise (0.02 in the paper's MuJoCo experiments)."""
    shaping: Shaping = "centered_ranks"
    """What stands in for the returns in the gradient (the paper: ranks)."""
    weight_decay: NonNegative = 0.0
    """L2 coefficient: this times theta is subtracted from the gradient estimate, which includes 1/sigma.
    The paper's released code omits 1/sigma, so its 0.005 is 0.005 / sigma here."""
    optimizer: AnyOptimizer = Adam()
    """Turns the gradient estimate into a step."""


class ARS(_Strategy, frozen=True, kw_only=True, tag_field="kind", tag="ars"):
    """Augmented random search (Mania et al. 2018, arXiv 1803.07055).

    V2 with `observation_normalization.enabled`, V1 without; V1-t and V2-t with `top`.
    """

    step_size: Positive = 0.02
    """Length of the step, alpha, per unit of normalised gradient (the paper: 0.01 to 0.03)."""
    sigma: Positive = 0.03
    """Standard deviation of the parameter noise, nu (the paper: 0.0075 to 0.03)."""
    top: Size | None = None
    """How many of the pairs, those with the best episodes, make the update, b; None takes all."""


class PGPE(_Strategy, frozen=True, kw_only=True, tag_field="kind", tag="pgpe"):
    """Policy gradients with parameter-based exploration (Sehnke et al. 2010; arXiv 2008.02387)."""

    sigma: Positive = 0.1
    """Initial standard deviation of every parameter. Toklu et al. choose the radius, sigma sqrt(parameters),
    as 15 times ClipUp's `max_speed`."""
    sigma_learning_rate: NonNegative = 0.1
    """Step size for sigma; 0 keeps it (Toklu et al.: 0.1)."""
    sigma_max_change: Decay = 0.2
    """A generation changes no sigma by more than this share of it (Toklu et al.: 0.2)."""
    per_parameter_sigma: bool = True
    """Whether each parameter has a sigma of its own, as in both papers, or all share their mean change."""
    shaping: Shaping = "centered_ranks"
    """What stands in for the returns in the gradient (Toklu et al.: ranks; Sehnke et al.: returns, `raw`)."""
    optimizer: AnyOptimizer = ClipUp()
    """Turns the gradient with respect to the centre into a step; its learning rate is the centre's."""


class SNES(_Strategy, frozen=True, kw_only=True, tag_field="kind", tag="snes"):
    """Separable natural evolution strategy (Schaul et al. 2011; Wierstra et al. 2014)."""

    sigma: Positive = 0.1
    """Initial standard deviation of every parameter."""
    learning_rate: Positive = 1.0
    """Step size for the centre: 1 moves it to the mean of the samples by their weights (both papers)."""
    sigma_learning_rate: NonNegative | None = None
    """Step size for the logarithm of sigma; None is (3 + log dim) / (5 sqrt(dim)), as in the papers."""


class SepCMAES(_Strategy, frozen=True, kw_only=True, tag_field="kind", tag="sep_cma_es"):
    """CMA-ES with a diagonal covariance matrix (Ros and Hansen 2008); its learning rates are the paper's."""

    sigma: Positive = 0.3
    """Initial standard deviation of every parameter; the optimum should lie within a few of them."""


class CMAES(_Strategy, frozen=True, kw_only=True, tag_field="kind", tag="cma_es"):
    """CMA-ES with a full covariance matrix, up to some hundred parameters (Hansen 2016, arXiv 1604.00772)."""

    sigma: Positive = 0.3
    """Initial standard deviation of every parameter; the optimum should lie within a few of them."""
    active: bool = True
    """Whether the worse half, too, shapes the covariance matrix, by negative weights (the tutorial: yes)."""


class RandomSearch(_Strategy, frozen=True, kw_only=True, tag_field="kind", tag="random_search"):
    """The best of the samples becomes the centre (Bergstra and Bengio 2012): a first stage for others."""

    sigma: Positive = 1.0
    """Standard deviation of the samples."""


AnyStrategy = OpenAIES | ARS | PGPE | SNES | SepCMAES | CMAES | RandomSearch


class Population(_Section, frozen=True, kw_only=True):
    """How much is evaluated per generation."""

    size: Even = 40
    """Perturbed policies per generation, in pairs; even. OpenAI-ES, ARS and PGPE mirror one perturbation per
    pair; the others draw two, and their papers ask for 4 + 3 log(parameters) policies at least."""
    courses: Annotated[int, Meta(ge=1, le=10**4)] = 1
    """Episodes per perturbed policy, each reset with another seed; its return is their mean. Both policies of
    a pair meet the same courses."""
    same_courses: bool = False
    """Whether all policies of a generation meet the same courses, not only those of a pair."""
    steps: Count | None = None
    """Environment steps that a generation should take: the shorter episodes were in the last one, the more
    policies the next one has, from `size` to `maximum` (as in Toklu et al. 2020, arXiv 2008.02387)."""
    maximum: Even = 10**5
    """Perturbed policies per generation at most, where `steps` asks for more; even."""
    pairs_per_task: Size = 1
    """Pairs in one message; raise it where episodes take less than about 20 ms."""

    def __post_init__(self) -> None:
        """Demand an order."""
        if self.maximum < self.size:
            raise ValueError(f"expected `maximum` of at least `size` = {self.size}, got {self.maximum}")


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


class Condition(_Section, frozen=True, kw_only=True):
    """Something about a generation's training episodes, in the mean over all that did not fail."""

    metric: Annotated[str, Meta(min_length=1)]
    """`return`, `length` (steps), `capped` (share that reached the episode cap), `failed` (share), what the
    environment reports at an episode's end, e.g. `metres` or `survived` (share), or a ramp's value, by its
    `argument`."""
    at_least: Annotated[float, Meta(ge=-1e9, le=1e9)] | None = None
    """Holds from this value on."""
    at_most: Annotated[float, Meta(ge=-1e9, le=1e9)] | None = None
    """Holds up to this value."""

    def __post_init__(self) -> None:
        """Demand a bound."""
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("expected one of `at_least` and `at_most`")


class Until(_Section, frozen=True, kw_only=True):
    """When a stage ends: with the first of these."""

    generations: Count | None = None
    """Generations in this stage."""
    steps: Count | None = None
    """Environment steps in this stage."""
    when: Condition | None = None
    """This holds for a generation."""

    def __post_init__(self) -> None:
        """Demand an end."""
        if not (self.generations or self.steps or self.when):
            raise ValueError("expected at least one of `generations`, `steps`, `when`")


class Stage(_Section, frozen=True, kw_only=True):
    """A part of the training with settings of its own, one after the other.

    A stage with another strategy or policy than the one before begins a new search where that one got to: at
    the average of the centre if there is one, after restarts at the best one's. The policy is widened as by
    `warm_start`.
    """

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,31}$")]
    """Stands in the generations' records."""
    until: Until | None = None
    """When the next stage begins; the last stage has no end but the budget's."""
    changes: dict[str, Any] = {}
    """What differs from the experiment's own settings: its sections `environment`, `policy`, `strategy`,
    `population`, `episode_cap`, `restart`, `ramp` and `observation_normalization`, in part or whole. Those of
    other stages do not carry over, and evaluations keep the experiment's own environment."""


class Ramp(_Section, frozen=True, kw_only=True):
    """A training environment's setting that moves as the policy improves."""

    argument: Annotated[str, Meta(min_length=1)]
    """Which: a keyword of the environment's `configure`, e.g. `wall_speed` of Learning to Run."""
    start: Annotated[float, Meta(ge=-1e9, le=1e9)]
    """Its first value."""
    step: Annotated[float, Meta(ge=-1e9, le=1e9)]
    """Added after each generation for which `when` holds."""
    limit: Annotated[float, Meta(ge=-1e9, le=1e9)]
    """Not beyond this value."""
    when: Condition
    """What has to hold."""
    back_when: Condition | None = None
    """Where this holds and `when` does not, the step is taken back, but never beyond `start`."""

    def __post_init__(self) -> None:
        """Demand a direction."""
        if not self.step or (self.limit - self.start) * self.step < 0:
            raise ValueError(
                f"expected `step` to lead from `start` = {self.start:g} to `limit` = {self.limit:g}, "
                f"got {self.step:g}"
            )


class Restart(_Section, frozen=True, kw_only=True):
    """Begins the search anew when it is stuck; the stage after goes on from the best that was found."""

    patience: Count
    """Generations without a better mean return after which to restart."""
    growth: Annotated[float, Meta(ge=1, le=100)] = 1.0
    """The population is multiplied by this (2: Auger and Hansen 2005, "A restart CMA evolution strategy with
    increasing population size"), up to `population.maximum`."""


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
    policy: AnyPolicy = Linear()
    strategy: AnyStrategy = OpenAIES()
    population: Population = Population()
    restart: Restart | None = None
    ramp: tuple[Ramp, ...] = ()
    stage: tuple[Stage, ...] = ()
    budget: Budget
    episode_cap: EpisodeCap | None = None
    observation_normalization: ObservationNormalization = ObservationNormalization()
    evaluation: Evaluation = Evaluation()
    checkpoint: Checkpoint = Checkpoint()
    warm_start: WarmStart | None = None

    def __post_init__(self) -> None:
        """Refuse what no single field can see."""
        for i, stage in enumerate(self.stage):
            if (stage.until is None) != (i == len(self.stage) - 1):
                expected = "none: it is the last one" if stage.until else "one: another stage follows"
                raise ValueError(f"stage[{i}].until: expected {expected}")
        if isinstance(self.policy, Gait) and self.policy.strengths and self.observation_normalization.enabled:
            raise ValueError(
                "policy.strengths: expected observation_normalization.enabled = false, since normalized "
                "observations do not tell a strength"
            )
        if isinstance(self.policy, Planner) and self.observation_normalization.enabled:
            raise ValueError(
                "policy.kind = 'planner': expected observation_normalization.enabled = false, since it plans "
                "with the values as they are"
            )
        arguments = [ramp.argument for ramp in self.ramp]
        if len(set(arguments)) < len(arguments):
            raise ValueError(f"ramp: expected each argument once, got {', '.join(arguments)}")
        episodes, first = self.budget.episodes, self.population.size * self.population.courses
        if episodes is not None and episodes < first:
            raise ValueError(
                f"budget.episodes = {episodes} does not allow one generation of "
                f"population.size x courses = {first}"
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
        if isinstance(self.strategy, ARS) and (self.strategy.top or 0) > self.population.size // 2:
            raise ValueError(
                f"strategy.top = {self.strategy.top} is more than the "
                f"{self.population.size // 2} pairs of population.size = {self.population.size}"
            )


STAGED = (
    *("environment", "policy", "strategy", "population", "episode_cap", "restart", "ramp"),
    "observation_normalization",
)
"""What a stage may change."""


def at_stage(experiment: Experiment, stage: int) -> Experiment:
    """The experiment as it is in a stage, by number from 0: without stages, but with that one's changes."""
    if not experiment.stage:
        return experiment
    return msgspec.convert(_changed(experiment, experiment.stage[stage]), Experiment)


def _changed(experiment: Experiment, stage: Stage) -> dict[str, Any]:
    plain = msgspec.to_builtins(msgspec.structs.replace(experiment, stage=()))
    return _merged(plain, msgspec.to_builtins(stage.changes))


def _merged(table: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Tables are merged; one of another kind, and anything that is no table, is replaced."""
    result = dict(table)
    for name, new in changes.items():
        old = table.get(name)
        if isinstance(old, dict) and isinstance(new, dict) and _same_kind(old, new):
            new = _merged(old, new)
        result[name] = new
    return result


def _same_kind(old: dict[str, Any], new: dict[str, Any]) -> bool:
    return "kind" not in new or new["kind"] == old.get("kind")


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
    experiment = _convert(raw, source)
    for i, stage in enumerate(experiment.stage):
        where = f"{source}: stage[{i}].changes"
        unknown = stage.changes.keys() - set(STAGED)
        if unknown:
            raise ExperimentError(f"{where}: expected some of {', '.join(STAGED)}, got {min(unknown)}")
        _convert(_changed(experiment, stage), where)
    return experiment


def _convert(raw: dict[str, Any], source: str) -> Experiment:
    try:
        return msgspec.convert(raw, Experiment)
    except msgspec.ValidationError as error:
        raise ExperimentError(f"{source}: {explain(Experiment, raw, str(error))}") from error


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


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_without_none(item) for item in value]
    return value
