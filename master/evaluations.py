"""Which evaluations are due, and the episodes of those under way."""

from collections.abc import Callable, Sequence

from es import config
from es.protocol import Episode
from es.run_dir import EvaluationRecord, RunDir
from master import metrics
from master.collector import Arrival


class Evaluations:
    """The evaluations of a run; ``report`` is called with each record that is complete and written."""

    def __init__(
        self, run: RunDir, settings: config.Evaluation, report: Callable[[EvaluationRecord], None]
    ) -> None:
        self._run = run
        self._settings = settings
        self._report = report
        self._recorded = set(run.evaluations())
        self._episodes: dict[int, dict[int, tuple[Episode, ...]]] = {}

    def start(self, generation: int, *, final: bool = False) -> Sequence[int]:
        """The evaluation episodes to run with the policy after ``generation`` updates, if they are due."""
        if not self._due(generation, final=final):
            return ()
        self._episodes[generation] = {}
        return range(self._settings.episodes)

    def overdue(self, generation: int) -> list[int]:
        """Evaluations before ``generation`` that an interruption lost and a checkpoint allows to repeat."""
        return [g for g in self._run.checkpoints() if g < generation and self._due(g, final=False)]

    def _due(self, generation: int, *, final: bool) -> bool:
        every = self._settings.every
        wanted = every > 0 and (final or generation % every == 0)
        return wanted and generation not in self._recorded and generation not in self._episodes

    def add(self, arrival: Arrival) -> None:
        """Take an episode; the last one of its evaluation completes the record."""
        generation = arrival.generation - 1  # the centre of a generation is the policy after the one before
        episodes = self._episodes[generation]
        episodes[arrival.outcome.index] = arrival.outcome.episodes
        if len(episodes) == self._settings.episodes:
            record = metrics.evaluation_record(generation, [episodes[index] for index in sorted(episodes)])
            self._run.append(record)
            self._recorded.add(generation)
            del self._episodes[generation]
            self._report(record)
