"""Ask the server in this container whether it can do its work; exit with 1 when it cannot.

For `serve` and `api`, which listen. The standard library alone, so that it starts fast.
"""

from __future__ import annotations

import os
import ssl
import sys
import urllib.error
import urllib.request


def main() -> None:
    """Ask `/ready` on this machine."""
    port = os.environ.get("TENTERHOOK_PORT", "8585")
    scheme = "https" if os.environ.get("TENTERHOOK_TLS_CERT") else "http"
    # The certificate bears a public name and not this machine's address; nothing secret is sent.
    trusting = ssl._create_unverified_context()  # noqa: SLF001 - the documented way to say so in one call
    try:
        urllib.request.urlopen(f"{scheme}://127.0.0.1:{port}/ready", timeout=4, context=trusting).close()
    except (urllib.error.URLError, OSError) as error:
        sys.exit(f"not ready: {error}")


if __name__ == "__main__":
    main()
