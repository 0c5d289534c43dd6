"""What every REST source shares: the connector format and its engine, the HTTP client, residency, and landing."""

from ingestion.rest.client import ApiError, Json, RestClient, UnreadableError, patience
from ingestion.rest.connector import Connector, load_connector, reach, reference
from ingestion.rest.engine import Reading, open_client, open_lander
from ingestion.rest.landing import BATCH, Batch, Change, Lander, Progress, SyncReport
from ingestion.rest.residency import Residency

__all__ = [
    "BATCH",
    "ApiError",
    "Batch",
    "Change",
    "Connector",
    "Json",
    "Lander",
    "Progress",
    "Reading",
    "Residency",
    "RestClient",
    "SyncReport",
    "UnreadableError",
    "load_connector",
    "open_client",
    "open_lander",
    "patience",
    "reach",
    "reference",
]
