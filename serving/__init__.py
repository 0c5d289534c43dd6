"""What tenants and analysts read: published rollups, the analytics file, the read API and its dashboard."""
