"""What is laid over the image for one machine: what the cloud or its image's maker would have put there."""

from __future__ import annotations

import shutil
from pathlib import Path

BUNDLE = Path("etc/ssl/certs/ca-certificates.crt")
# cloud-init takes the Ec2 datasource although no BIOS says that this is EC2, leaves the network as it is, and neither
# asks udev to tell it of new interfaces (containers have none) nor makes keys for an SSH server (the image has none).
DS_IDENTIFY = "policy: enabled\n"
CLOUD_CFG = """\
datasource_list: [Ec2]
datasource:
  Ec2:
    strict_id: false
    metadata_urls: ['http://169.254.169.254']
    apply_full_imds_network_config: false
network: {config: disabled}
updates: {network: {when: [boot-new-instance]}}
ssh_genkeytypes: []
"""
# EC2 is known by this file (or by DMI, which cloud-init does not read in a container): only then it asks for tokens.
# Not before the network stage: on EC2 the local one asks for a DHCP lease, and the lab has addressed the machine.
# nspawn's /sys is a small tmpfs over parts of the real one.
HYPERVISOR = """\
[Service]
ExecStartPre=/bin/mount -o remount,rw /sys
ExecStartPre=/bin/mkdir -p /sys/hypervisor
ExecStartPre=/bin/sh -c 'echo ec200000-0000-0000-0000-000000000000 > /sys/hypervisor/uuid'
ExecStartPre=/bin/mount -o remount,ro /sys
"""
# A container may not set the clock, which is the host's: chrony follows the cloud's time source all the same.
CHRONY_UNIT = "[Unit]\nConditionCapability=\n"
CHRONY_OPTIONS = 'DAEMON_OPTS="-F 1 -x"\n'
JOURNAL = "[Journal]\nForwardToConsole=yes\nTTYPath=/dev/console\nMaxLevelConsole=info\nStorage=volatile\n"


def lay_files(folder: Path, image: Path, ca_file: Path, resolver: Path) -> None:
    """Fills `folder` anew: the lab's CA behind the image's own, the datasource, the journal on the console."""
    shutil.rmtree(folder, ignore_errors=True)
    files = {
        BUNDLE: (image / BUNDLE).read_text() + ca_file.read_text(),
        Path("etc/cloud/ds-identify.cfg"): DS_IDENTIFY,
        Path("etc/cloud/cloud.cfg.d/99-lab.cfg"): CLOUD_CFG,
        Path("etc/systemd/system/cloud-init-network.service.d/lab.conf"): HYPERVISOR,
        Path("etc/systemd/system/chrony.service.d/lab.conf"): CHRONY_UNIT,
        Path("etc/default/chrony"): CHRONY_OPTIONS,
        Path("etc/systemd/journald.conf.d/lab.conf"): JOURNAL,
        Path("etc/resolv.conf"): resolver.read_text() if resolver.exists() else "",
    }
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
