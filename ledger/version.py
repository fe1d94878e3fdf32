"""The version of LIPE: of the server's distribution, its API and its images. `deploy/set_version.py` sets it."""

VERSION = "0.2.0"
