"""Auth0's Authentication API: what applications and browsers call, without a management token."""
