"""One file per published standard; each offers `router(catalogue, submit)`. See CONTRIBUTING."""
