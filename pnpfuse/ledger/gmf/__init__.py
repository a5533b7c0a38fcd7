"""The claims of GMF, a file each."""
