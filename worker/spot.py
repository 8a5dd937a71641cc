"""Spot instances: AWS says two minutes ahead that it takes one back, to the instance's own metadata service.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
"""

import logging
import threading

from es.errors import MetadataError
from es.instance_metadata import InstanceMetadata

POLL = 5.0  # s between looks

log = logging.getLogger("es.worker")


def watch(stop: threading.Event, metadata: InstanceMetadata, *, certain: bool, poll: float = POLL) -> None:
    """Wait for an interruption notice and set ``stop`` when it comes; return once ``stop`` is set.

    Args:
        stop: set it to end the watch; set here to drain the worker.
        metadata: whom to ask.
        certain: this is a spot instance: a service that does not answer is asked again for ever. Otherwise
            the first question decides whether there is one.
        poll: seconds between questions.
    """
    known = certain
    silent = False
    while not stop.is_set():
        try:
            notice = metadata.interruption()
        except MetadataError as error:
            if not known:
                log.debug("no instance metadata here: %s", error)
                return
            if not silent:
                log.warning("the instance metadata service does not answer, still trying: %s", error)
            silent = True
        else:
            known, silent = True, False
            if notice is not None:
                log.info("draining: this spot instance will %s at %s", notice.action, notice.time)
                stop.set()
        stop.wait(poll)
