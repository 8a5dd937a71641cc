"""LQR whose episodes take a while without using the processor, if ES_TEST_PACE says how long in seconds."""

import os
import time
from typing import Any

import gymnasium

from es.envs.lqr import LQR


class PacedLQR(LQR):
    def reset(self, **arguments: Any) -> Any:
        time.sleep(float(os.environ.get("ES_TEST_PACE", "0")))
        return super().reset(**arguments)


gymnasium.register("PacedLQR-v0", entry_point=PacedLQR)
