"""Start what it takes to look at recloser, on this machine alone, and say what to open. `make observe` runs this.

With Docker it starts compose.yaml in the background. Without, it runs the same programs from the PATH, as far as they
are there, until it is interrupted: a collector and Jaeger are needed, Prometheus is not. Their ports are set by the
environment variables that otel-collector.yaml and jaeger.yaml name, and by PROMETHEUS_PORT.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

HERE = Path(__file__).resolve().parent
COLLECTOR = HERE.parent.parent / "otel-collector.yaml"
COMPOSE = ["docker", "compose", "--file", str(HERE / "compose.yaml")]
PATIENCE = 30.0
"""Seconds that a program gets to listen on its ports."""

PORTS = {
    "OTELCOL_GRPC_PORT": 4317,
    "OTELCOL_HTTP_PORT": 4318,
    "OTELCOL_RED_PORT": 8889,
    "OTELCOL_SELF_PORT": 8888,
    "OTELCOL_HEALTH_PORT": 13133,
    "JAEGER_OTLP_PORT": 14317,
    "JAEGER_QUERY_PORT": 16686,
    "JAEGER_GRPC_PORT": 16685,
    "PROMETHEUS_PORT": 9090,
}

MISSING = """\
Neither Docker nor the programs themselves were found. Either will do:

  Docker, running, with its compose plugin; or, on the PATH,
  otelcol-contrib   the OpenTelemetry Collector in its contrib distribution (0.159.0), or one named otelcol
  jaeger            Jaeger (2.13.0)
  prometheus        if you like; any version from 2.42 on

docs/observability.md says where they come from. Then run `make observe` again."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--with", dest="how", choices=["docker", "programs"], help="default: what is there")
    how = parser.parse_args().how
    collector = shutil.which("otelcol-contrib") or shutil.which("otelcol")
    jaeger = shutil.which("jaeger")
    if how == "docker" or (how is None and docker_runs()):
        return with_docker()
    if collector is None or jaeger is None:
        print(MISSING, file=sys.stderr)
        return 1
    return with_programs(collector, jaeger, shutil.which("prometheus"))


def docker_runs() -> bool:
    """Whether Docker is there, with its compose plugin, and its daemon answers."""
    if shutil.which("docker") is None:
        return False
    for command in (["docker", "compose", "version"], ["docker", "info"]):
        try:
            if subprocess.run(command, capture_output=True, timeout=20, check=False).returncode != 0:
                return False
        except subprocess.TimeoutExpired:
            return False
    return True


def with_docker() -> int:
    status = subprocess.run([*COMPOSE, "up", "--detach"], check=False).returncode
    if status == 0:
        tell(PORTS, prometheus=True, grafana=True, stop=" ".join([*COMPOSE, "down"]))
    return status


def tell(ports: Mapping[str, int], *, prometheus: bool, grafana: bool, stop: str) -> None:
    here = "http://127.0.0.1"
    otlp = f"{here}:{ports['OTELCOL_HTTP_PORT']}"
    print("\nOpen")
    print(f"  Jaeger      {here}:{ports['JAEGER_QUERY_PORT']:<8} one call, step by step")
    if grafana:
        print(f"  Grafana     {here}:3000     the dashboard of all servers")
    if prometheus:
        print(f"  Prometheus  {here}:{ports['PROMETHEUS_PORT']:<8} metrics and alerts")
    print("\nSend something there")
    print(f"  .venv/bin/recloser demo --otlp {otlp}")
    print("A trace is in Jaeger about 15 seconds after its call has ended.")
    print(f"\nStop it: {stop}", flush=True)


class Programs:
    """Processes that are ended with this one, and their logs; used by the main thread alone."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: list[str], ports: list[int], environment: Mapping[str, str]) -> None:
        """Start a program and wait until it listens on its ports."""
        for port in ports:
            if listens(port):
                raise SystemExit(f"{name} cannot be started: something else listens on port {port} already")
        with (self.directory / f"{name}.log").open("wb") as log:
            self.running[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
            )
        limit = time.monotonic() + PATIENCE
        while not all(listens(port) for port in ports):
            self.check()
            if time.monotonic() > limit:
                raise SystemExit(f"{name} does not listen after {PATIENCE:g} seconds:\n{self.last_words(name)}")
            time.sleep(0.05)

    def check(self) -> None:
        """Raise if one of them has ended."""
        for name, process in self.running.items():
            if process.poll() is not None:
                raise SystemExit(f"{name} ended with status {process.returncode}:\n{self.last_words(name)}")

    def last_words(self, name: str) -> str:
        return "\n".join((self.directory / f"{name}.log").read_text(errors="replace").splitlines()[-15:])

    def stop(self) -> None:
        """End them, those that send before those that receive."""
        for process in reversed(self.running.values()):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def with_programs(collector: str, jaeger: str, prometheus: str | None) -> int:
    ports = {name: int(os.environ.get(name, default)) for name, default in PORTS.items()}
    environment = {
        "GOMEMLIMIT": "320MiB",
        # Here somebody looks at single calls, so all are kept.
        "RECLOSER_KEEP_PERCENT": "100",
        "JAEGER_OTLP_ENDPOINT": f"127.0.0.1:{ports['JAEGER_OTLP_PORT']}",
        "PROMETHEUS_URL": f"http://127.0.0.1:{ports['PROMETHEUS_PORT']}",
        **os.environ,
    }
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, interrupted)
    with tempfile.TemporaryDirectory(prefix="recloser-observe-") as name:
        directory = Path(name)
        programs = Programs(directory)
        try:
            programs.start(
                "jaeger",
                [jaeger, f"--config={HERE / 'jaeger.yaml'}"],
                [ports["JAEGER_OTLP_PORT"], ports["JAEGER_QUERY_PORT"]],
                environment,
            )
            programs.start(
                "collector",
                [collector, f"--config={COLLECTOR}"],
                [ports["OTELCOL_GRPC_PORT"], ports["OTELCOL_HTTP_PORT"], ports["OTELCOL_RED_PORT"]],
                environment,
            )
            if prometheus is not None:
                command = prometheus_command(prometheus, directory, ports)
                programs.start("prometheus", command, [ports["PROMETHEUS_PORT"]], environment)
            tell(ports, prometheus=prometheus is not None, grafana=False, stop="Ctrl-C")
            while True:
                programs.check()
                time.sleep(0.5)
        except KeyboardInterrupt:
            return 0
        finally:
            for ending in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                signal.signal(ending, signal.SIG_IGN)
            programs.stop()


def interrupted(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def prometheus_command(prometheus: str, directory: Path, ports: Mapping[str, int]) -> list[str]:
    """Write the configuration with addresses of this machine in place of those in the container network."""
    text = (HERE / "prometheus.yaml").read_text()
    text = text.replace("collector:8889", f"127.0.0.1:{ports['OTELCOL_RED_PORT']}")
    text = text.replace("collector:8888", f"127.0.0.1:{ports['OTELCOL_SELF_PORT']}")
    text = text.replace("alerts.yaml", str(HERE / "alerts.yaml"))
    config = directory / "prometheus.yaml"
    config.write_text(text)
    return [
        prometheus,
        f"--config.file={config}",
        f"--storage.tsdb.path={directory / 'prometheus'}",
        f"--web.listen-address=127.0.0.1:{ports['PROMETHEUS_PORT']}",
        "--enable-feature=exemplar-storage",
    ]


if __name__ == "__main__":
    sys.exit(main())
