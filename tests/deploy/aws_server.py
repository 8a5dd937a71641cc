"""AWS for tests: moto's server over real HTTP, and in front of it true answers where moto has none or lies.

moto knows no quotas of EC2 and no price list, and its spot prices are 0.00001 $. Whatever is asked is
counted, and any action can be made to fail as AWS makes it fail.
"""

import http.client
import json
import logging
import re
import threading
from collections import Counter
from collections.abc import Iterable
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from deploy import cost

REGION = "us-east-1"
PRICES = {
    ("c7a.8xlarge", "us-east-1a"): 0.64,
    ("c7a.8xlarge", "us-east-1b"): 0.80,
    ("c6a.xlarge", "us-east-1a"): 0.1,
}
ON_DEMAND = {"m7i.xlarge": 0.2016, "c7a.8xlarge": 1.64224}
QUOTAS = {"L-34B43A08": 256.0, "L-1216C47A": 32.0}
EC2 = "http://ec2.amazonaws.com/doc/2016-11-15/"


class AwsServer:
    """An account in which nothing exists after ``reset``."""

    def __init__(self, address: str = "127.0.0.1", port: int = 0) -> None:
        logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = make_server(address, port, self, threaded=True)
        self.url = f"http://{address}:{self._server.server_port}"
        self.asked: Counter[str] = Counter()
        self.refuse: dict[str, tuple[str, str]] = {}
        self.quotas: dict[str, float] = {}
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def reset(self) -> None:
        self.moto("reset")
        self.asked.clear()
        self.refuse.clear()
        self.quotas = dict(QUOTAS)

    def moto(self, path: str, body: str = "") -> None:
        """Tell moto itself something."""
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=30)
        connection.request("POST", f"/moto-api/{path}", body)
        assert connection.getresponse().status == 200
        connection.close()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """A WSGI application."""
        action, parameters = _action(environ)
        self.asked[action] += 1
        as_json = "HTTP_X_AMZ_TARGET" in environ
        answer, status = None, "200 OK"
        if action in self.refuse:
            answer, status = _refusal(*self.refuse[action], as_json=as_json), "400 Bad Request"
        elif action == "GetServiceQuota":
            answer = json.dumps({"Quota": {"Value": self.quotas[json.loads(parameters)["QuotaCode"]]}})
        elif action == "GetProducts":
            answer = json.dumps({"PriceList": _products(json.loads(parameters)["Filters"])})
        elif action == "DescribeSpotPriceHistory":
            answer = _spot_prices(parameters)
        elif action == "DescribeInstances":
            answer, status = self._from_moto(environ)
            # moto does not look at the types of a group's mixed instances, nor at how they are bought.
            kind = "<instanceType>c7a.8xlarge</instanceType><instanceLifecycle>spot</instanceLifecycle>"
            answer = answer.replace("<instanceType/>", kind)
            answer = re.sub("<instanceType>(.*?)</instanceType>", _with_cores, answer)
        if answer is None:
            return self._moto(environ, start_response)
        kind = "application/x-amz-json-1.1" if as_json else "text/xml"
        start_response(status, [("Content-Type", kind), ("Content-Length", str(len(answer.encode())))])
        return [answer.encode()]

    def _from_moto(self, environ: dict[str, Any]) -> tuple[str, str]:
        statuses: list[str] = []
        body = b"".join(self._moto(environ, lambda status, headers, *_: statuses.append(status)))
        return body.decode(), statuses[0]


def _action(environ: dict[str, Any]) -> tuple[str, str]:
    """What is asked for, and the body of a request that is no upload."""
    target = str(environ.get("HTTP_X_AMZ_TARGET", ""))
    form = str(environ.get("CONTENT_TYPE", "")).startswith("application/x-www-form-urlencoded")
    if not target and not form:
        return f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}", ""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = BytesIO(body)
    text = body.decode()
    return (target.rpartition(".")[2] if target else parse_qs(text).get("Action", [""])[0]), text


def _with_cores(instance_type: re.Match[str]) -> str:
    cores = cost.vcpus(instance_type[1]) // 2
    return (
        f"{instance_type[0]}<cpuOptions><coreCount>{cores}</coreCount><threadsPerCore>2</threadsPerCore>"
        "</cpuOptions>"
    )


def _refusal(code: str, message: str, *, as_json: bool) -> str:
    if as_json:
        return json.dumps({"__type": code, "message": message})
    error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    # EC2's answers have the outer element, those of the other services the inner one.
    return f"<ErrorResponse><Errors>{error}</Errors>{error}</ErrorResponse>"


def _products(filters: list[dict[str, str]]) -> list[str]:
    wanted = {each["Field"]: each["Value"] for each in filters}
    price = ON_DEMAND.get(wanted["instanceType"])
    if price is None or wanted["regionCode"] != REGION:
        return []
    dimension = {"pricePerUnit": {"USD": f"{price:.10f}"}}
    return [json.dumps({"terms": {"OnDemand": {"term": {"priceDimensions": {"dimension": dimension}}}}})]


def _spot_prices(body: str) -> str:
    asked = parse_qs(body)
    types = [values[0] for name, values in asked.items() if name.startswith("InstanceType.")]
    old, new = "2026-01-01T00:00:00.000Z", "2026-02-01T00:00:00.000Z"
    items = [
        f"<item><instanceType>{kind}</instanceType><productDescription>Linux/UNIX</productDescription>"
        f"<spotPrice>{dollars}</spotPrice><timestamp>{time}</timestamp>"
        f"<availabilityZone>{zone}</availabilityZone></item>"
        for (kind, zone), price in PRICES.items()
        if kind in types
        for time, dollars in ((new, price), (old, 9.0))
    ]
    return (
        f'<DescribeSpotPriceHistoryResponse xmlns="{EC2}"><spotPriceHistorySet>{"".join(items)}'
        "</spotPriceHistorySet></DescribeSpotPriceHistoryResponse>"
    )
