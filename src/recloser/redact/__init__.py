"""What may leave: secrets, terminal control and excess are taken out of everything that is logged, shown or exported.

Three nets lie behind each other: the values that the configuration knows to be secret (`known`), the shapes of
well-known credentials (`shapes`), and the names that say their value is one (`names`, `named`). Where it is unclear,
too much is hidden rather than too little. Every pattern takes time linear in its input, since that is written by
servers: a repetition is possessive or bounded, and one that could begin anywhere in a run may begin at its start only.
"""

from recloser.redact.control import CONTROL, printable
from recloser.redact.given import Hidden, secret_forms, secrets_of_arguments, secrets_of_named, secrets_of_url
from recloser.redact.known import SHORTEST_SECRET
from recloser.redact.names import is_secret_name, is_secret_setting
from recloser.redact.redactor import Redactor, redact
from recloser.redact.shapes import MASK

__all__ = [
    "CONTROL",
    "MASK",
    "SHORTEST_SECRET",
    "Hidden",
    "Redactor",
    "is_secret_name",
    "is_secret_setting",
    "printable",
    "redact",
    "secret_forms",
    "secrets_of_arguments",
    "secrets_of_named",
    "secrets_of_url",
]
