"""The published policies, on the roles of the lab's people."""

from __future__ import annotations

import pytest

from lab import calls, clients
from lab.remote import LabError


def test_an_enroller_enrols_for_its_own_tenant_and_lets_nobody_in(lab) -> None:
    red = calls.credentials("lab-enroller-red", local=True)
    public = clients.twinlock(red, "peer", "keygen", "--out", str(clients.PEERS / "gina.key"))["public_key"]
    with pytest.raises(LabError, match=r"ended with 3"):
        clients.twinlock(red, "peer", "enrol", "gina", "--tenant", "blue", "--public-key", str(public))
    clients.twinlock(red, "peer", "enrol", "gina", "--tenant", "red", "--public-key", str(public))
    with pytest.raises(LabError, match=r"ended with 3"):
        clients.twinlock(red, "peer", "approve", "gina", "--tenant", "red")
    approver = calls.credentials("lab-approver", local=True)
    assert clients.twinlock(approver, "peer", "approve", "gina", "--tenant", "red")["address"]
