"""Evolution strategies for musculoskeletal controllers: the core that master, worker and deploy share."""
