"""The master: publishes generations, collects returns, updates the policy."""
