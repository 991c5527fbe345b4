"""ContextForge's gateway: https://ibm.github.io/mcp-context-forge/overview/quick_start/ and manage/configuration/.

Its own bridge stands before a server over stdio. What is not registered within 10 s is not waited for. In both modes
loopback addresses are allowed, and the limit of 100 requests a minute, which would refuse the load, is off. Sessions
with servers are not kept (USE_STATEFUL_SESSIONS): calls are faster with it, but a session that is lost stays lost.
"""

import asyncio
import contextlib
import secrets
import shlex
import subprocess
import sys
from pathlib import Path

import common
import httpx
from gateway import client, free_port, process

LATER = "GATEWAY_ASYNC_LIFECYCLE"
CALLS = "TOOL_TIMEOUT=1 TOOL_LOOKUP_CACHE_NEGATIVE_TTL_SECONDS=1 PLUGINS_ENABLED=true PLUGINS_CONFIG_FILE=plugins.yaml"
TUNED = f"{CALLS} {LATER}_ENABLED=true {LATER}_POLL_INTERVAL=0.25 {LATER}_ATTEMPT_TIMEOUT=2"
RETRY = "kind: cpex_retry_with_backoff.RetryWithBackoffPlugin, hooks: [tool_post_invoke], config: {backoff_base_ms: 50}"


def versions():
    return common.versions("mcp-contextforge-gateway", "cpex-retry-with-backoff", "mcp")


@contextlib.asynccontextmanager
async def connect(servers, deadline, tuned):
    settings = f"JWT_SECRET_KEY={secrets.token_hex(32)} SSRF_ALLOW_LOCALHOST=true RATE_LIMITING_ENABLED=false "
    Path(".env").write_text((settings + TUNED * tuned).replace(" ", "\n"), encoding="utf-8")
    Path("plugins.yaml").write_text(f"plugins: [{{name: retry, mode: sequential, {RETRY}}}]", encoding="utf-8")
    module = [sys.executable, "-m"]
    signing = [*module, "mcpgateway.utils.create_jwt_token", "--username", "admin@example.com"]
    token = subprocess.run(signing, capture_output=True, check=True, text=True).stdout.strip()
    async with contextlib.AsyncExitStack() as stack:
        places = [{"transport": "STREAMABLEHTTP", **server} for server in servers if "url" in server]
        for server in (each for each in servers if "command" in each):
            stdio = ["--expose-sse", "--stdio", shlex.join([server["command"], *server["args"]])]
            bridge = process(*module, "mcpgateway.translate", *stdio, "--port", str(port := free_port()), port=port)
            await stack.enter_async_context(bridge)
            places.append({"transport": "SSE", "name": server["name"], "url": f"http://127.0.0.1:{port}/sse"})
        gateway = process(*module, "mcpgateway.cli", "--port", str(port := free_port()), port=port, patience=90.0)
        await stack.enter_async_context(gateway)
        url, headers = f"http://127.0.0.1:{port}", {"Authorization": f"Bearer {token}"}
        api = await stack.enter_async_context(httpx.AsyncClient(base_url=url, headers=headers, timeout=None))
        posts = asyncio.gather(*(api.post("/gateways", json=place) for place in places), return_exceptions=True)
        stack.callback(posts.cancel)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10):
                while [each["status"] for each in (await api.get("/gateways")).json()].count("active") < len(servers):
                    await asyncio.sleep(0.1)
        asked = await stack.enter_async_context(client(f"{url}/mcp", **headers))

        async def call(server, tool, arguments, timeout, safe):
            return common.text_of(await asked.call_tool(f"{server}-{tool}", arguments, read_timeout_seconds=timeout))

        yield call
