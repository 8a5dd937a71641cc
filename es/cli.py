"""The `es` command. Subcommands are imported when they are used: a worker needs no tables, --help nothing."""

import importlib
from typing import Any

import click

from es.errors import EsError

COMMANDS = {
    "run": ("master.command:run", "Train on this machine: master, Redis and workers in one command."),
    "resume": ("master.command:resume", "Continue a stopped run, or extend a finished one."),
    "master": ("master.command:master", "Train with workers that run elsewhere."),
    "worker": ("worker.command:worker", "Evaluate policies for a master."),
    "runs": ("es.commands.inspect:runs", "List the runs."),
    "generations": ("es.commands.inspect:generations", "Show the generations of a run."),
    "watch": ("es.commands.watch:watch", "Watch a run live."),
    "workers": ("es.commands.inspect:workers", "Show the workers of a run."),
    "show": ("es.commands.inspect:show", "Show everything about one generation."),
    "plot": ("es.commands.plot:plot", "Draw learning curves."),
    "evaluate": ("es.commands.evaluate:evaluate", "Run unperturbed episodes of a trained policy."),
    "export": ("es.commands.export:export", "Copy a policy, its experiment and its curve."),
    "replay": ("es.commands.replay:replay", "Film an episode of a trained policy."),
    "deploy": ("deploy.command:deploy", "Train on AWS: make, watch and remove a fleet."),
    "redis-config": (
        "es.commands.redis_config:redis_config_command",
        "Write the settings of a Redis that a fleet may share.",
    ),
    "observations": ("es.commands.observations:observations", "Show what a trained policy observes."),
}


class OneLineErrors(click.Command):
    """Turns our errors into one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except EsError as error:
            click.echo(f"Error: {error}", err=True)
            return ctx.exit(error.exit_code)


class LazyGroup(OneLineErrors, click.Group):
    """Imports a subcommand when it is called; shows help without importing any."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order people meet them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import it, unless only its help line is wanted."""
        if cmd_name not in COMMANDS:
            return None
        target, _ = COMMANDS[cmd_name]
        module, _, attribute = target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with their help lines."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="opensim-es")
def main() -> None:
    """Train musculoskeletal controllers with evolution strategies.

    Start with `es run quickstart`.
    """


if __name__ == "__main__":
    main()
