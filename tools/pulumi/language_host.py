"""The Python language host for a Pulumi engine that was built from its modules, which do not hold one.

The engine starts it as `pulumi-language-python ENGINE_ADDRESS`, reads the port that it prints, and calls it by gRPC
(pulumi's proto/language.proto). Programs run inside this very process, by the SDK's own server for inline programs.
"""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from concurrent import futures
from pathlib import Path

import grpc
from google.protobuf import empty_pb2
from pulumi.automation._server import LanguageServer
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2


class LanguageHost(LanguageServer):
    """Runs programs (`Run`), policy packs and packages of components (`RunPlugin`) with the Python that it runs on."""

    def __init__(self, engine: str) -> None:
        super().__init__(lambda: None)
        self._engine = engine
        self.plugins: list[subprocess.Popen[bytes]] = []

    def Handshake(self, request, context):
        self._engine = request.engine_address or self._engine
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request, context):
        return plugin_pb2.PluginInfo(version="3.272.0")

    def GetProgramDependencies(self, request, context):
        return language_pb2.GetProgramDependenciesResponse()

    def RuntimeOptionsPrompts(self, request, context):
        return language_pb2.RuntimeOptionsResponse()

    def InstallDependencies(self, request, context):
        """None: what this checkout's programs and packages need is in its environment already."""
        return iter(())

    def Cancel(self, request, context):
        return empty_pb2.Empty()

    def Run(self, request, context):
        folder = Path(request.info.program_directory or request.pwd)
        entry = folder / request.info.entry_point
        os.chdir(folder)
        sys.path.insert(0, str(folder))
        script = str(entry / "__main__.py" if entry.is_dir() else entry)
        self.program = lambda: runpy.run_path(script, run_name="__main__")
        request.args[:] = [self._engine]
        failed = super().Run(request, context).error  # already said through the engine's log: bail out silently
        return language_pb2.RunResponse(bail=bool(failed))

    def RunPlugin(self, request, context):
        """Policy packs (`python -m pulumi.policy ENGINE PACK`) and packages of components (`python FOLDER ENGINE`)."""
        folder = request.info.program_directory
        commands = {"analyzer": ["-m", "pulumi.policy", *request.args[:1], folder], "resource": [folder, *request.args]}
        if request.kind not in commands:
            context.abort(
                grpc.StatusCode.UNIMPLEMENTED,
                f"this language host runs policy packs and components, not a {request.kind!r}",
            )
        environment = dict(pair.split("=", 1) for pair in request.env)
        with subprocess.Popen(
            [sys.executable, "-u", *commands[request.kind]], cwd=request.pwd, env=environment, stdout=subprocess.PIPE
        ) as process:
            self.plugins.append(process)
            context.add_callback(process.terminate)
            assert process.stdout is not None  # noqa: S101
            for line in process.stdout:
                yield language_pb2.RunPluginResponse(stdout=line)
        yield language_pb2.RunPluginResponse(exitcode=process.returncode)

    def end_with(self, engine: int) -> None:
        """An engine that was killed ends nobody: it is looked at each second."""
        while os.getppid() == engine:
            time.sleep(1)
        for plugin in self.plugins:
            plugin.terminate()
        os._exit(0)


def main() -> None:
    engine = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    host = LanguageHost(engine)
    threading.Thread(target=host.end_with, args=(os.getppid(),), daemon=True).start()
    server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", -1)])
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    # The engine waits 10 s for a host that takes its interrupt as a request.
    signal.signal(signal.SIGINT, lambda *_: os._exit(0))
    print(port, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
