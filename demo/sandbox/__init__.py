"""Stand-ins for Stripe and HubSpot: small, stateful HTTP servers with a simulated clock, for the demo and the tests.

``serve(kind, port, state)`` runs one in a thread of this process; ``python -m demo.sandbox`` runs one by itself.
"""

from demo.sandbox.server import Running, serve

__all__ = ["Running", "serve"]
