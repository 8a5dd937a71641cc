"""What a deployment needs and costs: from its description to vCPUs and dollars. Nothing is asked of AWS."""

import math
from collections.abc import Sequence

from deploy import cost
from deploy.config import Deployment
from deploy.cost import Estimate, Price
from es.errors import DeploymentError

MARKETS = ("spot", "on-demand")


def needs(deployment: Deployment, wanted: int) -> dict[str, int]:
    """VCPUs by market; workers come in whole instances, so a group may exceed what is wanted."""
    workers = max(
        math.ceil(wanted / each) * each for each in (cost.vcpus(name) for name in deployment.instance_types)
    )
    needed = dict.fromkeys(MARKETS, 0)
    needed["on-demand"] += cost.vcpus(deployment.master_type)
    needed[deployment.market] += workers
    return needed


def offline_prices(deployment: Deployment) -> tuple[list[Price], float]:
    """Prices of workers and of the master as the deployment's file states them.

    Raises:
        DeploymentError: it does not state some.
    """
    missing = sorted({*deployment.instance_types, deployment.master_type} - deployment.prices.keys())
    if missing:
        raise DeploymentError(f"prices: expected dollars per hour of {', '.join(missing)} too")
    prices = [Price(each, "", deployment.prices[each]) for each in deployment.instance_types]
    return prices, deployment.prices[deployment.master_type]


def estimate(deployment: Deployment, prices: Sequence[Price], master: float) -> Estimate:
    """What it will cost."""
    return cost.estimate(
        prices,
        deployment.vcpus,
        master=master,
        volume_gb=deployment.volume_gb,
        hours=deployment.ttl_seconds / 3600,
        max_spend=deployment.max_spend,
    )
