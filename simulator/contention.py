"""How fast each replica works when others work beside it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Contention:
    """Speed of each of n busy replicas, as a share of that of one alone.

    The Universal Scalability Law (N. J. Gunther): 1 / (1 + sigma (n - 1) + kappa n (n - 1)), sigma for what is shared
    one after the other, kappa for what all must agree on; and at most ``cores`` replicas' worth of work at once.
    """

    sigma: float = 0.0
    kappa: float = 0.0
    cores: float | None = None

    @property
    def none(self) -> bool:
        """Whether replicas do not slow each other."""
        return self.sigma == 0 and self.kappa == 0 and self.cores is None

    def speed(self, busy: int) -> float:
        """Of each of so many busy replicas."""
        if busy <= 1:
            return 1.0 if self.cores is None else min(1.0, self.cores)
        shared = 1.0 / (1.0 + self.sigma * (busy - 1) + self.kappa * busy * (busy - 1))
        return shared if self.cores is None else min(shared, self.cores / busy)
