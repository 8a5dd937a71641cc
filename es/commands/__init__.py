"""Commands that read run directories, one file per subject."""
