"""Which engine a fault proxy takes, and how the real one is spoken to."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from recloser.testing.leaks import no_leaks
from recloser.testing.proxy import FaultProxy

pytestmark = pytest.mark.thorough


def test_the_engine_is_chosen_by_what_is_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert FaultProxy("127.0.0.1", 1, engine="auto").kind == "asyncio"
    program = tmp_path / "toxiproxy-server"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert FaultProxy("127.0.0.1", 1, engine="auto").kind == "toxiproxy"
    assert FaultProxy("127.0.0.1", 1).kind == "asyncio"


def test_a_real_one_that_is_missing_is_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    async def main() -> None:
        with pytest.raises(RuntimeError, match="toxiproxy-server is not on the PATH"):
            await FaultProxy("127.0.0.1", 1, engine="toxiproxy").start()

    asyncio.run(main())


STAND_IN = f"""#!{sys.executable}
import http.server, json, signal, sys

class Api(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200, {{"version": "0"}})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        open("asked", "a").write(json.dumps([self.path, body]) + "\\n")
        if body.get("name") == "bad":
            self.answer(409, {{"error": "toxic already exists", "status": 409}})
        else:
            self.answer(200, {{"listen": "127.0.0.1:4711"}})

    def do_DELETE(self):
        self.send_response(204)
        self.end_headers()

    def answer(self, status, body):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *args):
        pass

open("argv", "w").write(" ".join(sys.argv[1:]))
if STUBBORN:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[4])), Api).serve_forever()
"""


def stand_in(place: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a program in the place of the real one."""
    program = place / "toxiproxy-server"
    program.write_text(text)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(place))
    monkeypatch.chdir(place)


@pytest.mark.processes
def test_a_real_one_is_told_in_its_own_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, STAND_IN.replace("STUBBORN", "False"), monkeypatch)

    async def main() -> None:
        async with FaultProxy("::1", 80, engine="auto", seed=5) as proxy:
            assert proxy.port == 4711
            await proxy.add("latency", latency=0.25, jitter=0.0001)
            await proxy.add("slicer", average_size=1, delay=0.001, stream="upstream", toxicity=0.5)
            rate = await proxy.add("bandwidth", rate=0.2)
            await rate.update(rate=10)
            await rate.remove()
            with pytest.raises(RuntimeError, match=r"toxiproxy-server answered 409: .*toxic already exists"):
                await proxy.add("timeout", name="bad")
            assert len(proxy.toxics) == 2
            await proxy.down()

    asyncio.run(main())
    argv = (tmp_path / "argv").read_text().split()
    assert argv[:2] == ["-host", "127.0.0.1"]
    assert argv[-2:] == ["-seed", "5"]
    asked = (tmp_path / "asked").read_text().splitlines()
    assert '"upstream": "[::1]:80"' in asked[0]
    assert '"toxicity": 1.0, "attributes": {"latency": 250, "jitter": 1}' in asked[1]
    assert '"stream": "upstream"' in asked[2]
    assert '"toxicity": 0.5' in asked[2]
    assert '"average_size": 2, "size_variation": 1, "delay": 1000' in asked[2]
    assert '"attributes": {"rate": 1}' in asked[3]
    assert '["/proxies/proxy/toxics/bandwidth_downstream", {"toxicity": 1.0, "attributes": {"rate": 10}}]' in asked[4]
    assert '["/proxies/proxy", {"enabled": false}]' in asked[-1]


@pytest.mark.processes
def test_a_real_one_that_does_not_heed_its_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, STAND_IN.replace("STUBBORN", "True"), monkeypatch)
    monkeypatch.setattr("recloser.testing.proxy.toxiproxy.END", 0.01)

    async def main() -> None:
        async with no_leaks(), FaultProxy("127.0.0.1", 80, engine="toxiproxy"):
            pass

    asyncio.run(main())


@pytest.mark.processes
def test_a_real_one_that_ends_at_once_or_never_serves_is_said_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, "#!/bin/sh\nexit 3\n", monkeypatch)

    async def main(says: str) -> None:
        async with no_leaks():
            with pytest.raises(RuntimeError, match=says):
                await FaultProxy("127.0.0.1", 1, engine="toxiproxy").start()

    asyncio.run(main(r"does not serve its API \(exit code 3\)"))
    silent = f"#!{sys.executable}\nimport socket, sys\n"
    silent += "s = socket.create_server(('127.0.0.1', int(sys.argv[4])))\nwhile True: s.accept()[0].close()\n"
    stand_in(tmp_path, silent, monkeypatch)
    monkeypatch.setattr("recloser.testing.proxy.toxiproxy.START", 0.5)
    asyncio.run(main(r"does not serve its API \(exit code None\)"))
