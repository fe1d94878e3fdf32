"""The editing methods: NIMA and the methods that it is compared with."""
