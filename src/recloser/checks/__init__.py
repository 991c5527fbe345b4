"""What the records of `options` are checked by: single values, and what a server can be reached by at all."""

from __future__ import annotations

from recloser.checks.reach import bare, flaws
from recloser.checks.values import MismatchError, by_name, flag, number, text, texts, whole, word

__all__ = ["MismatchError", "bare", "by_name", "flag", "flaws", "number", "text", "texts", "whole", "word"]
