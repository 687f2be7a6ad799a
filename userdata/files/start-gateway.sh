#!/bin/sh
# Runs once, as soon as the first boot has a network; the units do the same on every later one. The firewall stands first.
set -eu
# One reload for all of it: each costs as much as half a bootstrap.
systemctl mask --quiet --no-reload --now ssh.service ssh.socket
systemctl enable --quiet --no-reload twinlock-firewall.service twinlock-bootstrap.service twinlock-vrrp.service twinlock-probe-net.service twinlock-probe.service twinlock-agent.service
systemctl daemon-reload
systemctl start twinlock-firewall.service
sysctl --quiet --load=/etc/sysctl.d/90-twinlock.conf
# Not waited for: a gateway that fails says so on its console and by a failed unit.
systemctl start --no-block twinlock-vrrp.service twinlock-agent.service twinlock-probe.service
