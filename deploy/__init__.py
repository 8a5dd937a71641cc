"""A fleet on AWS: described by a small TOML, made, watched and removed by `es deploy`."""
