"""A gateway's boot arguments for tests."""

from __future__ import annotations

from dataclasses import replace

from userdata.boot_args import GatewayBoot, Twin


def gateway_boot(**changes: object) -> GatewayBoot:
    sha256 = "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
    boot = GatewayBoot(
        environment="lab",
        cloud="aws",
        region="eu-west-1",
        slot="a",
        zone="eu-west-1a",
        private_address="10.0.1.10",
        public_address="203.0.113.10",
        twins=(Twin(slot="b", private_address="10.0.2.10"),),
        tunnel_range="10.100.0.0/16",
        gateway_address="10.100.0.1",
        prefix6="",
        port=51820,
        mtu=1420,
        registry_table="twinlock-lab",
        service_secret="twinlock/lab/service",
        way_secret="twinlock/lab/way-a",
        storage_prefix_list="pl-0123456789abcdef0",
        agent_bucket="agents",
        agent_key=f"agent/{sha256}/twinlock-agent.pyz",
        agent_sha256=sha256,
        stock_image=False,
    )
    return replace(boot, **changes)


if __name__ == "__main__":
    from pathlib import Path

    from userdata.render import render

    (Path(__file__).parent / "unit" / "test_userdata_expected.yaml").write_text(render(gateway_boot()))
