"""The instance's metadata service (IMDSv2): https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html"""

from __future__ import annotations

import http.client

from twinlock.agent.errors import CloudUnavailable

_HOST, _SECONDS = "169.254.169.254", 3.0


def _ask(method: str, path: str, headers: dict[str, str]) -> str:
    connection = http.client.HTTPConnection(_HOST, timeout=_SECONDS)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        text = answer.read().decode()
    except (OSError, http.client.HTTPException) as exc:
        raise CloudUnavailable(f"the metadata service does not answer {path}: {exc}") from exc
    finally:
        connection.close()
    if answer.status != 200:
        raise CloudUnavailable(f"the metadata service answers {path} with {answer.status}")
    return text


def instance_id() -> str:
    """Raises CloudUnavailable."""
    token = _ask("PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
    return _ask("GET", "/latest/meta-data/instance-id", {"X-aws-ec2-metadata-token": token})
