"""How Amazon's DynamoDB Local is started: in memory, gone with its process."""

from __future__ import annotations

from lab.paths import ROOT

JARS = ROOT / ".tools" / "dynamodb"
_MAIN = "software.amazon.dynamodb.services.local.main.ServerRunner"
# It never runs long enough for Java's second compiler, which took two thirds of its processor time.
_JAVA = ("java", "-Xmx512m", "-XX:TieredStopAtLevel=1")


def command(port: int) -> list[str]:
    """Listens on all addresses of its namespace."""
    return [
        *_JAVA, "-cp", f"{JARS}/*", _MAIN, "-inMemory", "-sharedDb", "-disableTelemetry", "-port", str(port),
    ]  # fmt: skip
