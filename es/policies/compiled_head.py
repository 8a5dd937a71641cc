"""Action heads as the compiled rollout takes them."""

import numpy as np

from es.native import rollout
from es.policies.heads import BinnedHead, ClippedHead, SquashedHead

CompiledHead = SquashedHead | ClippedHead | BinnedHead
"""Those that it can apply."""


def compiled_head(head: CompiledHead) -> rollout.Head:
    """The same head for compiled code."""
    no_mask, no_values = np.empty(0, dtype=np.bool_), np.empty((0, 0))
    if isinstance(head, SquashedHead):
        return rollout.Head(head.bottom, head.top, head.bounded, head.bias, head.gain, False, no_values)
    if isinstance(head, ClippedHead):
        return rollout.Head(head.low, head.high, no_mask, 0.0, 1.0, True, no_values)
    return rollout.Head(np.empty(0), np.empty(0), no_mask, 0.0, 1.0, False, head.values)
