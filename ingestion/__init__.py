"""Sources to raw tables: change data capture, APIs and the landing that they share."""
