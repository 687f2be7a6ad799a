"""What cloud-init's own integration tests assert after every boot (its tests/integration_tests/util.py)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

STAGES = ("init-local", "init", "modules-config", "modules-final")


def assert_clean_boot(run: Callable[..., str]) -> None:
    """No traceback, warning, or error, recoverable or not; each stage ended, in order. `run` gives what is printed."""
    status = json.loads(run("cat", "/run/cloud-init/status.json"))["v1"]
    stages = [status[name] for name in STAGES]
    assert all(stage["errors"] == [] and stage["recoverable_errors"] == {} for stage in stages), status
    times = [time for stage in stages for time in (stage["start"], stage["finished"])]
    assert times == sorted(times), status
    assert all(times)
    result = json.loads(run("cat", "/run/cloud-init/result.json"))["v1"]
    assert result["errors"] == []
    assert "DataSourceEc2" in result["datasource"], result
    log = run("cat", "/var/log/cloud-init.log")
    assert "Traceback" not in log + run("cat", "/var/log/cloud-init-output.log")
    assert [line for line in log.splitlines() if re.search(r"\[(WARNING|ERROR|CRITICAL|DEPRECATED)\]", line)] == []
