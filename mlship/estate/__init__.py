"""Every model, who answers for it, and what waits for whom: gathered from policies, registries and the state here."""
