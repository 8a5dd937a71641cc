"""Every error the project raises on purpose.

    EsError                       one clear line for the user; exit code 1
    ├── UsageError                what was asked for cannot be done; exit code 2
    │   ├── ExperimentError       an experiment file or override that is wrong
    │   ├── DeploymentError       a deployment that is wrong, or that cannot be made as it is described
    │   └── RunNotFoundError      no such run directory, generation or checkpoint
    ├── RunDirectoryError         a run directory that cannot be read or written
    ├── RedisError                Redis refuses what we ask
    │   ├── RedisUnavailableError Redis does not answer; worth another try until a deadline
    │   └── NoRunError            nobody published a run before the deadline
    ├── MetadataError             no instance metadata service answers, or something else does
    ├── CloudError                AWS refuses, lacks or loses something
    ├── ProtocolError             a message that cannot be understood
    ├── JoinRefusedError          this worker would not compute what the master expects
    ├── WorkersLostError          nobody is left to evaluate the generation
    ├── DivergedError             an update is not a number any more
    ├── ModelError                a musculoskeletal model that the compiled twin cannot represent
    └── SimulationError           the physics could not finish a step; ends the episode, not the run

Messages say what was expected, what arrived and what to do.
"""


class EsError(Exception):
    """Base of every deliberate error; its message is one line made for the user."""

    exit_code = 1


class UsageError(EsError):
    """What the user asked for cannot be done as asked."""

    exit_code = 2


class ExperimentError(UsageError):
    """An experiment is wrong: names the file, the field, the value and what is allowed."""


class DeploymentError(UsageError):
    """A deployment is wrong, naming field, value and what is allowed; or it cannot be made as described."""


class RunNotFoundError(UsageError):
    """There is no such run, generation or checkpoint."""


class RunDirectoryError(EsError):
    """A run directory cannot be read or written."""


class RedisError(EsError):
    """Redis refused: wrong password, missing permission, out of memory."""


class RedisUnavailableError(RedisError):
    """Redis does not answer at the moment."""


class NoRunError(RedisError):
    """No run was published before the deadline."""


class MetadataError(EsError):
    """No instance metadata service answers, or something else does."""


class CloudError(EsError):
    """AWS refuses, lacks or loses something; says what to do."""


class ProtocolError(EsError):
    """A message has the wrong version, type or length."""


class JoinRefusedError(EsError):
    """This worker's software would not give the answers the master expects."""


class WorkersLostError(EsError):
    """No worker is left to evaluate the generation."""


class DivergedError(EsError):
    """The update of a generation is not finite; the state before it is kept."""


class ModelError(EsError):
    """A musculoskeletal model is not built the way the compiled twin's equations assume."""


class SimulationError(EsError):
    """The physics could not finish a step (integrator failure, early return, NaN)."""
