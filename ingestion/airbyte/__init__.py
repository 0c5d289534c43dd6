"""Airbyte as code, the production path of ingestion: what it is to land, declared from the data contracts.

``manifest`` says what each connection lands, ``desired`` what should stand on the server, ``plan`` and ``apply`` bring
it there, ``jobs`` follows syncs, ``raw_contract`` holds what landed to the contract before anything reads it.
"""
