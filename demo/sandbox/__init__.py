"""Stand-ins for Stripe, HubSpot and Salesforce: small, stateful HTTP servers with a clock, for demo and tests only.

``serve(kind, port, state)`` runs one in a thread of this process; ``python -m demo.sandbox`` runs one by itself.
"""

from demo.sandbox.server import Running, serve

__all__ = ["Running", "serve"]
