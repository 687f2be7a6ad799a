"""A small platform that deploys environments for its callers over HTTP: `python -m examples.platform --help`.

jobs.py     what is kept of a job, and the words for it
book.py     jobs and their events in SQLite
worker.py   carries jobs out, also those that a killed service left behind
service.py  the HTTP interface
"""
