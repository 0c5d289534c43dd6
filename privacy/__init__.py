"""Rights of persons and of tenants: erasure, export, rectification, restriction, retention, residency."""
