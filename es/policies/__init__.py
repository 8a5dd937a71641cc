"""Policies: numpy only, parameters in one flat vector."""
