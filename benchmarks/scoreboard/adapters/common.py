"""What adapters share: versions, and a tool's text."""

from importlib.metadata import version


class ToolError(Exception):
    """The peer returned an error as a result."""


def versions(*packages):
    """Return the installed versions."""
    return {package: version(package) for package in packages}


def text_of(result):
    """Return the text of an SDK's result; an error in it is raised."""
    text = "".join(getattr(item, "text", "") for item in result.content)
    if getattr(result, "is_error", None) or getattr(result, "isError", None):
        raise ToolError(text)
    return text
