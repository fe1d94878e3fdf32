"""The version of this client, which is that of the server it was released with."""

VERSION = "0.2.0"
