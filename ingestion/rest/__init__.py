"""What every REST source shares: the HTTP client, the residency of its subjects and the landing of its pages."""

from ingestion.rest.client import ApiError, Json, RestClient, patience
from ingestion.rest.landing import BATCH, Batch, Change, Lander, Progress, SyncReport
from ingestion.rest.residency import Residency

__all__ = [
    "BATCH",
    "ApiError",
    "Batch",
    "Change",
    "Json",
    "Lander",
    "Progress",
    "Residency",
    "RestClient",
    "SyncReport",
    "patience",
]
