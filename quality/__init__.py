"""Gates: what must hold of landed rows before dbt builds on them, and of rollups before they are published."""
