"""The claims of InfoBridge, a file each."""
