"""Content Credentials (C2PA 2.x) of images: certificates, signing and reading. Only this package imports c2pa."""
