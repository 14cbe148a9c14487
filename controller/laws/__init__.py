"""Control laws: pure, total functions from what is known to how many replicas are wanted.

A law of your own is a subclass of ``Law``, named by an entry point of the group ``asperathos.laws``.
"""

from controller.laws.base import Law, LawSettings, Memory, Proposal, Situation, recall

__all__ = ["Law", "LawSettings", "Memory", "Proposal", "Situation", "recall"]
