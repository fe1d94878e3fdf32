"""The servers that `lipe up` starts: Postgres, Valkey (Redis protocol) and S3, one module each."""
