"""The prose of the reference page. Every block of JSON or TOML in it is loaded by a test."""

from __future__ import annotations

from typing import Final

__all__ = ["EXAMPLES", "INTRODUCTION", "MISTAKES", "NAMES", "OURS_INTRODUCTION", "REFERENCES"]

INTRODUCTION: Final = """
# Configuration

<!-- Made by `python -m recloser.config.reference write`; change the code, not this page. -->

A file that a host has already works as it is. What recloser adds stands in the same file under `recloser`, which hosts
pass over. The format goes by the name: TOML for `.toml`, JSON for everything else; comments and trailing commas are
allowed in JSON. A [JSON schema](../src/recloser/config/recloser.schema.json) for editors is part of the package.

Where no file is named on the command line, the first of these in the working directory is taken: `recloser.toml`,
`mcp.json`, `.mcp.json`, `.vscode/mcp.json`.
"""

EXAMPLES: Final = """
## Forms of a file

Claude Desktop, Claude Code, Cursor and many others:

```json
{
  "mcpServers": {
    "files": { "command": "files-mcp", "args": ["--root", "."] },
    "search": {
      "url": "https://search.example/mcp",
      "headers": { "Authorization": "Bearer ${SEARCH_TOKEN}" }
    }
  }
}
```

VS Code. `${input:…}` cannot be asked for here, so its value comes from the environment: `RECLOSER_INPUT_SEARCH_TOKEN`.
As in VS Code, the command is started in the workspace folder, the one above `.vscode`.

```json
{
  // comments are allowed
  "inputs": [{ "type": "promptString", "id": "search-token", "description": "Token", "password": true }],
  "servers": {
    "files": { "type": "stdio", "command": "files-mcp", "args": ["--root", "${workspaceFolder}"] },
    "search": {
      "type": "http",
      "url": "https://search.example/mcp",
      "headers": { "Authorization": "Bearer ${input:search-token}" },
    },
  },
}
```

The same file with what is ours:

```json
{
  "mcpServers": {
    "files": { "command": "files-mcp", "args": ["--root", "."] },
    "search": { "url": "https://search.example/mcp" }
  },
  "recloser": {
    "defaults": { "timeouts": { "total": 20, "attempt": 8 } },
    "servers": {
      "search": { "trusted": true, "tags": ["web"], "retry": { "attempts": 4 } },
      "reports": { "url": "https://reports.example/mcp", "lazy": true }
    }
  }
}
```

TOML, with the same keys:

```toml
[recloser]
cache = "catalog.json"

[recloser.defaults.timeouts]
total = 20
attempt = 8

[recloser.servers.files]
command = "files-mcp"
args = ["--root", "."]

[recloser.servers.search]
url = "https://search.example/mcp"
headers = { Authorization = "Bearer ${SEARCH_TOKEN}" }
idempotent = ["web"]

[recloser.gateway]
port = 8080
```
"""

OURS_INTRODUCTION: Final = """
## Keys of recloser

A server's own table goes over its host's entry, and that over `recloser.defaults`; tables are merged key by key, lists
are replaced. Durations are seconds, sizes are bytes. Hooks (`auth`, `classify`) are objects of a program and can be
given in code only.
"""

REFERENCES: Final = """
## References and secrets

| in a value | becomes |
| --- | --- |
| `${NAME}`, `${env:NAME}` | the environment variable; if it is not set, that is a mistake |
| `${NAME:-default}` | the variable, or the default if it is not set or empty |
| `${file:/run/secrets/token}` | the text of a file, without the line break at its end; at most 64 KiB |
| `${input:id}` | the environment variable `RECLOSER_INPUT_ID` |
| `${workspaceFolder}`, `${workspaceFolderBasename}`, `${cwd}`, `${userHome}`, `${pathSeparator}` | as in VS Code |
| `$${` | the text `${` itself |

A number, or true or false, may be a reference too. What a shell would understand and we do not, such as `${x%%y}`,
stays as it is.

A value is secret if it comes from a reference in `headers` or `env` (those to `HOME`, `PATH` and their like apart),
from a file, from an input, or from a variable whose name says so; if its key says so (`Authorization`, `STRIPE_KEY`, …;
of several in `API_KEYS` each), or the option before it in `args` (`--token`, `--token=…`, `--header=X-Key: …`, also
within `sh -c "…"`), or within it (`Server=…;Password=…`); and if it is the password or such a parameter of a URL,
wherever the URL stands (`DATABASE_URL`, an argument), or its user name where that may be a token (it stands without a
password in an `http` URL, or has 16 characters or more). So is what goes by the name of a secret in a header, variable
or argument that is JSON (`--config '{"apiKey": …}'`), the password within `Basic …`, and of the cookies in a `Cookie`
those that have 16 characters or more or a name that says so (`sid`, `session`, …). Secrets are taken out of logs,
errors, spans and this package's own messages by their values, also where they are URL-encoded, escaped, in base64 or in
hexadecimal, and those of 16 characters or more where they are broken into lines, at a blank or within a word, also
behind the signs of a diff, a comment or a line that goes on. The beginning of one at the end of what a dead process
said is hidden from 8 characters on. A secret shorter than 6 characters is not looked for by its value: it would mangle
every text. Headers, variables, arguments and the URL of a `Server` made in code are secret by the same names.

`http://` to another machine is refused unless `allow_plaintext` is true for that server.
"""

NAMES: Final = """
## Names of servers

A tool's full name is `server__tool`, so a server's name consists of letters, digits, `_`, `-` and `.`, without `__`.
Hosts allow more. A host's name that is none here becomes one by replacing what does not fit, with a hash of the whole
name at its end: `My files` is `My-files-985698`. It depends on no other server, so adding one renames nothing.
`recloser.servers` takes either name.
"""

MISTAKES: Final = """
## Mistakes

All mistakes of a file are told at once, each with file, line, place, what was expected and what was found:

```text
2 mistakes in the configuration:
  mcp.json:7: recloser.servers.search.retry.atempts: unknown key; did you mean 'attempts'?
  mcp.json:9: recloser.gateway.port: expected a whole number, found the string "http"
```

A program gets a `ConfigurationError`, a `ValueError` whose `mistakes` are records with these parts. The command line
exits with 78. A server that is switched off (`disabled`, or `enabled = false`) may refer to variables that are not set;
it is left out then.
"""
