"""The editing methods: NIMA and those it is compared with."""
