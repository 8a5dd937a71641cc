"""Environments. Importing this package registers the ``es/...`` ids with Gymnasium.

Entry points are strings, so a simulator is imported only when its environment is made.
"""

from gymnasium.envs.registration import register

register(id="es/LearningToRun-v0", entry_point="es.envs.learning_to_run:LearningToRun")
register(id="es/LQR-v0", entry_point="es.envs.lqr:LQR")
