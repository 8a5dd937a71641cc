"""What AWS answers when it refuses, and what people can do about it. Plain text, nothing is asked."""

LOG_IN = (
    "AWS does not accept the credentials ({reason}): log in, e.g. with `aws sso login` or `aws configure`, "
    "or set AWS_PROFILE"
)
NO_CAPACITY = (
    "AWS has no instances of these types to give at the moment: list more of them in `instance_types`"
)
QUOTA = "the quota for {market} vCPUs is too small; `es deploy plan` tells how to raise it"
# What AWS calls it in answers and in the activities of Auto Scaling groups, and what to do about it.
ADVICE = {
    "VcpuLimitExceeded": QUOTA.format(market="on-demand"),
    "vCPU capacity than your current vCPU limit": QUOTA.format(market="on-demand"),
    "MaxSpotInstanceCountExceeded": QUOTA.format(market="spot"),
    "Max spot instance count exceeded": QUOTA.format(market="spot"),
    "InsufficientInstanceCapacity": NO_CAPACITY,
    "UnfulfillableCapacity": NO_CAPACITY,
    "do not have sufficient": NO_CAPACITY,
    "no Spot capacity available": NO_CAPACITY,
    "Spot capacity": NO_CAPACITY,
    "SpotMaxPriceTooLow": "the spot price is above the on-demand price; list more `instance_types`",
}
BAD_CREDENTIALS = {
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
FORBIDDEN = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "UnauthorizedException", "403"}


def advice(text: str) -> str | None:
    """What to do about a refusal that people really meet; None for others."""
    return next((hint for known, hint in ADVICE.items() if known in text), None)


def unwelcome(reason: str) -> str:
    """For credentials that are missing, expired or wrong."""
    return LOG_IN.format(reason=reason.rstrip("."))


def refused(code: str, message: str, action: str) -> str:
    """For an answer with this code and message, to ``action``, e.g. ``ec2:DescribeInstances``."""
    if code in BAD_CREDENTIALS:
        return unwelcome(code)
    if code in FORBIDDEN:
        hint = ", or name an existing profile with --instance-profile" if action.startswith("iam:") else ""
        return f"AWS does not allow {action} with these credentials: ask its administrator for that{hint}"
    known = advice(code) or advice(message)
    return f"AWS refuses {action}: {known or f'{code}: {message}'}"
