"""Auth0's Management API v2: every request carries a token with the endpoint's scope."""
