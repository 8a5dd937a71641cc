"""Search strategies, one published algorithm per file, all pure init / ask / tell."""
