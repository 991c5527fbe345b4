"""What a person and a program read after a run: one JSON document, and one page made from it."""

from recloser.testing.scenario.report.document import document
from recloser.testing.scenario.report.page import page

__all__ = ["document", "page"]
