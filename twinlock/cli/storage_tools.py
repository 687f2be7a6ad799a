"""Settings for the programs that move data through a tunnel: pure. Credentials are never in them.

The figures, and why: one S3 request is one TCP connection, and a tunnel is one core's work on the gateway. Parts of
32 MiB keep a 10,000-part upload good for 312 GiB; 8 at once fill a gigabit at 60 ms with kernel-sized TCP windows, and
are few enough that a takeover, which resets all of them, repeats at most 256 MiB. What fails is tried again, because
after a takeover each connection is reset once.
"""

from __future__ import annotations

from enum import Enum
from typing import assert_never

from twinlock.registry.definition import Definition

PART_MIB, THRESHOLD_MIB, AT_ONCE, ATTEMPTS = 32, 64, 8, 10


class Tool(Enum):
    AWS = "aws"
    RCLONE = "rclone"
    S3FS = "s3fs"


def endpoint(definition: Definition) -> str:
    """The region's own name: its addresses are the ones that the tunnel routes."""
    return f"https://s3.{definition.region}.amazonaws.com"


def profile(definition: Definition, tool: Tool) -> str:
    """What goes into the tool's own file."""
    name = f"twinlock-{definition.environment}"
    match tool:
        case Tool.AWS:
            return _aws(definition, name)
        case Tool.RCLONE:
            return _rclone(definition, name)
        case Tool.S3FS:
            return _s3fs(definition)
        case _:
            assert_never(tool)


def where(tool: Tool) -> str:
    """The file that the text belongs into."""
    match tool:
        case Tool.AWS:
            return (
                "~/.aws/config, then: AWS_PROFILE=twinlock-… aws … (with --profile, credentials that the environment "
                "holds would be passed over)"
            )
        case Tool.RCLONE:
            return "~/.config/rclone/rclone.conf, then: rclone copy FILES twinlock-…:BUCKET"
        case Tool.S3FS:
            return (
                "the options of /etc/fstab, or after s3fs BUCKET FOLDER -o; with it use_session_token where the "
                "environment holds a role's credentials, iam_role=auto on an instance that has one"
            )
        case _:
            assert_never(tool)


def _aws(definition: Definition, name: str) -> str:
    """https://docs.aws.amazon.com/cli/latest/topic/s3-config.html"""
    lines = (
        f"[profile {name}]",
        f"region = {definition.region}",
        "retry_mode = standard",
        f"max_attempts = {ATTEMPTS}",
        f"services = {name}",
        "s3 =",
        "  addressing_style = virtual",
        f"  multipart_threshold = {THRESHOLD_MIB}MB",
        f"  multipart_chunksize = {PART_MIB}MB",
        f"  max_concurrent_requests = {AT_ONCE}",
        "",
        f"[services {name}]",
        "s3 =",
        f"  endpoint_url = {endpoint(definition)}",
    )
    return "\n".join(lines)


def _rclone(definition: Definition, name: str) -> str:
    """https://rclone.org/s3/: tenants may not make buckets, so it must not try."""
    lines = (
        f"[{name}]",
        "type = s3",
        "provider = AWS",
        "env_auth = true",
        f"region = {definition.region}",
        f"endpoint = {endpoint(definition)}",
        "force_path_style = false",
        "no_check_bucket = true",
        f"upload_cutoff = {THRESHOLD_MIB}Mi",
        f"chunk_size = {PART_MIB}Mi",
        f"upload_concurrency = {AT_ONCE}",
    )
    return "\n".join(lines)


def _s3fs(definition: Definition) -> str:
    """https://github.com/s3fs-fuse/s3fs-fuse/blob/master/doc/man/s3fs.1.in"""
    options = {
        "url": endpoint(definition),
        "endpoint": definition.region,
        "multipart_size": PART_MIB,
        "parallel_count": AT_ONCE,
        "retries": ATTEMPTS,
        "connect_timeout": 10,
    }
    return ",".join(["_netdev", *(f"{key}={value}" for key, value in options.items())])
