"""What running a guest again teaches. Knows no pytest."""
