#!/bin/sh
# Runs once, at the end of the first boot; the units do the same on every later one. The firewall stands first.
set -eu
# One reload for all of it: each costs as much as half a bootstrap.
systemctl mask --quiet --no-reload --now ssh.service ssh.socket
systemctl enable --quiet --no-reload twinlock-firewall.service twinlock-bootstrap.service twinlock-vrrp.service twinlock-agent.service
systemctl daemon-reload
systemctl start twinlock-firewall.service
# Security updates have to get out on 443, the only port that stays open.
find /etc/apt -type f \( -name '*.list' -o -name '*.sources' \) -exec sed -i 's|http://|https://|g' {} +
sysctl --quiet --load=/etc/sysctl.d/90-twinlock.conf
systemctl try-restart --no-block systemd-journald.service chrony.service
# Not waited for: a gateway that fails says so on its console and by a failed unit.
systemctl start --no-block twinlock-vrrp.service twinlock-agent.service
