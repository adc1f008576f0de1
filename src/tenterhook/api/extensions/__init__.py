"""What Tenterhook offers beyond Auth0, under ``/api/extensions``, in the Management API's manner."""
