"""The servers that `lipe up` brings along: Postgres, the Redis protocol and S3, each behind one file."""
