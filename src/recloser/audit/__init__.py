"""The audit: one line for every logical call, never sampled, without a word of what was said in it."""

from recloser.audit.auditor import Auditor
from recloser.audit.log import AuditLog
from recloser.audit.record import AuditedArguments, AuditedResult, AuditGap, AuditPolicy, AuditRecord

__all__ = [
    "AuditGap",
    "AuditLog",
    "AuditPolicy",
    "AuditRecord",
    "AuditedArguments",
    "AuditedResult",
    "Auditor",
]
