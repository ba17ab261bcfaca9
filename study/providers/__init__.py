"""Where raters come from: this machine's own links, Prolific, Mechanical Turk; one contract for all of them.

``contract`` says what a provider can do, ``fees`` what it takes for that. ``launching`` posts a study and follows it,
``paying`` approves, rejects and pays bonuses: both write into ``study.ledger`` before and after each call that costs.
An outside package adds a provider under the entry-point group ``mesoface.providers``.
"""

from __future__ import annotations

from collections.abc import Callable

from recon.registry import Registry
from study.providers.contract import Provider, ProviderSettings

PROVIDERS: Registry[Callable[[ProviderSettings], Provider]] = Registry(
    "provider",
    "mesoface.providers",
    {
        "local": "study.providers.local:LocalProvider",
        "prolific": "study.providers.prolific:open_prolific",
        "mturk": "study.providers.mturk:open_mturk",
    },
)
"""Functions from :class:`ProviderSettings` to a :class:`Provider`."""

__all__ = ["PROVIDERS", "Provider", "ProviderSettings"]
