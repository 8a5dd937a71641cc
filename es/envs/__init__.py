"""Environments. Importing this package registers ``es/...`` ids with Gymnasium."""

from gymnasium.envs.registration import register

register(id="es/LQR-v0", entry_point="es.envs.lqr:LQR")
