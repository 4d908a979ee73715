"""One file per message format; the file's name is the format's name in `city.toml`. See CONTRIBUTING."""
