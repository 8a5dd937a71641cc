"""The worker: one agent per host, single-threaded rollout processes."""
