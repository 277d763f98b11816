"""Embed or ask a whole corpus: rows from a file to a file, resumed where it was killed.

    from vessel_core import Client
    from vessel_core.bulk import bulk

    bulk("texts.jsonl", "vectors.parquet", client=Client(base_url=["http://gpu-1:8080", "http://gpu-2:8080"]))

Memory stays flat however many rows there are. What is wrong with one row becomes its `error`, beside `attempts`; what is wrong
with the server is waited for. Run it again after a kill: each row is in the output once, in the order of the source.
"""

from vessel_core.bulk.progress import BulkProgress
from vessel_core.bulk.run import BulkReport, abulk, bulk

__all__ = ["BulkProgress", "BulkReport", "abulk", "bulk"]
