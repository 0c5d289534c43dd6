"""The sample company and the stand-ins it lives in. For the demo and the tests only; no pipeline code imports it."""
