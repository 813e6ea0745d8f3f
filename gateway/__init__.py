"""An edge gateway: TLS, rules, limits, security headers and caching before any HTTP backend."""

__version__ = "0.1.0"
