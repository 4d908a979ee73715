"""One file per camera vendor; the file's name is the camera's name in `city.toml`. See CONTRIBUTING."""
