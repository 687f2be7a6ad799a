"""Several deployments from one checkout write the agent's file at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from userdata.agent_archive import build_agent_archive


def test_builders_of_one_file_do_not_meet(tmp_path: Path):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(build_agent_archive, [tmp_path / "agent.pyz"] * 40))
    assert len({one.sha256 for one in made}) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["agent.pyz"]
    assert (tmp_path / "agent.pyz").stat().st_mode & 0o777 == 0o755
