"""The claims of SCOPE, a file each."""
