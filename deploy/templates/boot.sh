#!/bin/bash
# Makes an instance a member of the fleet: installs the software and starts the agent, `es deploy host`.
set -euo pipefail
# @settings@

home=/opt/opensim-es
log=/var/log/opensim-es.log
agent=("$home/venv/bin/es" deploy host "$NAME" "$ROLE" --bucket "$BUCKET")
export AWS_REGION="$REGION" AWS_DEFAULT_REGION="$REGION" HOME="${HOME:-/root}"
exec >>"$log" 2>&1

say() {
    echo "$(date -u +'%F %T') boot: $*"
}

ask=(curl --silent --fail --noproxy '*' --retry 8 --retry-connrefused)
metadata() {
    local service=http://169.254.169.254/latest token
    token=$("${ask[@]}" -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$service/api/token")
    "${ask[@]}" -H "X-aws-ec2-metadata-token: $token" "$service/meta-data/$1"
}

retry() {
    local try
    for try in 1 2 3 4 5; do
        "$@" && return
        say "try $try failed: $*"
        sleep $((try * PAUSE))
    done
    return 1
}

# An instance that cannot start must cost nothing, and must not be replaced by another one that cannot either.
give_up() {
    set +e
    say "failed; this instance ends itself"
    local id
    id=$(metadata instance-id)
    retry aws s3 cp --quiet "$log" "s3://$BUCKET/$NAME/logs/$ROLE-$id.log"
    retry aws autoscaling terminate-instance-in-auto-scaling-group \
        --instance-id "$id" --should-decrement-desired-capacity
    shutdown -h now
}
trap give_up EXIT

say "$NAME $ROLE $(metadata instance-id)"
if command -v dnf; then
    retry dnf install --quiet --assumeyes "$PYTHON" "$PYTHON-pip"
    if [ "$ROLE" = master ]; then
        # Both speak TLS; the second, older one confines workers less (no ACL selectors).
        dnf install --quiet --assumeyes valkey || retry dnf install --quiet --assumeyes redis6
        ln -sf "$(command -v valkey-server || command -v redis6-server)" /usr/local/bin/redis-server
    fi
fi
say "software $SOFTWARE"
mkdir -p "$home"
retry aws s3 cp --quiet --recursive "s3://$BUCKET/$NAME/software/$SOFTWARE" "$home/software"
"$PYTHON" -m venv "$home/venv"
wheel=$(ls "$home"/software/*.whl)
retry "$home/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    --constraint "$home/software/constraints.txt" "$wheel[aws]"

say "start"
if [ -d /run/systemd/system ]; then
    cat >/etc/systemd/system/opensim-es.service <<UNIT
[Unit]
Description=opensim-es $ROLE
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0
[Service]
ExecStart=${agent[*]}
Environment=AWS_REGION=$REGION AWS_DEFAULT_REGION=$REGION HOME=$HOME
StandardOutput=append:$log
StandardError=append:$log
Restart=on-failure
RestartSec=10
KillMode=mixed
TimeoutStopSec=90
LimitNOFILE=65536
[Install]
WantedBy=multi-user.target
UNIT
    systemctl daemon-reload
    systemctl enable --now opensim-es
    trap - EXIT
else
    exec "${agent[@]}"
fi
