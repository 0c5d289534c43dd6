"""Benches: what Tailrace costs, measured beside its peers. Nothing of the product imports this folder."""
