#!/bin/sh
# Runs once, as soon as the first boot has a network; the units do the same on every later one. The firewall stands first.
set -eu
# Without a reload, which costs a tenth of a boot: systemd reads a unit that it has not seen as it starts it.
systemctl start --quiet twinlock-firewall.service
sysctl --quiet --load=/etc/sysctl.d/90-twinlock.conf
# Not waited for: a gateway that fails says so on its console and by a failed unit. Nor do these, which peers wait for,
# wait for the end of this stage, as the network's target does: the network is there. Bootstrap starts the others.
systemctl start --quiet --no-block --job-mode=ignore-dependencies twinlock-bootstrap.service twinlock-agent.service
# Peers wait for those, and for nothing else that cloud-init does: what is left of it takes the processor that they leave
# over. Between services a nice value says nothing; the group's does.
if [ -w /proc/self/autogroup ]; then echo 19 > /proc/self/autogroup; else renice -n 19 -p "$PPID"; fi
systemctl mask --quiet --no-reload --now ssh.service ssh.socket
systemctl enable --quiet --no-reload twinlock-firewall.service twinlock-bootstrap.service twinlock-vrrp.service twinlock-probe-net.service twinlock-probe.service twinlock-agent.service
