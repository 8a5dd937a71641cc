"""Environments. Importing this package registers ``es/...`` ids with Gymnasium."""
