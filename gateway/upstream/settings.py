"""UpstreamConfig: one entry under `upstreams`, as the operator writes it.

Validated while the configuration loads and turned into an Upstream by upstream.py. The defaults are safe before any
origin: certificates are verified, every number that an origin or a client can drive up has a bound.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from gateway.hash_key import HashOn
from gateway.schema import AfterValidator, BeforeValidator, Count, Duration, Field, Model, Share, model_validator
from gateway.upstream.address import EndpointAddress, parse_endpoint
from gateway.upstream.breaker import BreakerConfig
from gateway.upstream.ejection import EjectionConfig
from gateway.upstream.health import HealthConfig
from gateway.upstream.retries import RetriesConfig

Balance: TypeAlias = Literal["round_robin", "least_requests", "hash", "random", "first"]


def _check_url(url: str) -> str:
    parse_endpoint(url)
    return url


def _check_host(text: str) -> str:
    if text in {"preserve", "endpoint"}:
        return text
    try:
        address = parse_endpoint(f"http://{text}")
    except ValueError:
        address = None
    if address is None or address.path:
        raise ValueError(f"{text!r} is not a host: write preserve, endpoint, or a literal such as app.internal:8080")
    return text


def _check_name(text: str) -> str:
    try:
        address = parse_endpoint(f"https://[{text}]" if ":" in text else f"https://{text}")
    except ValueError:
        address = None
    if address is None or address.port != 443:
        raise ValueError(f"{text!r} is not the name in a certificate: write a host name without port")
    return text


def _spell_out(value: object) -> object:
    return {"url": value} if isinstance(value, str) else value


class EndpointConfig(Model):
    """One place that serves the upstream. A plain URL may be written instead."""

    url: Annotated[str, AfterValidator(_check_url)]
    """`http://host:port`, `https://host:port` or `unix:/path/to/socket`; without path, query or user."""
    weight: int = Field(default=1, ge=1, le=1000)
    """Its share of the requests, in proportion to the weights of the others."""

    @property
    def address(self) -> EndpointAddress:
        return parse_endpoint(self.url)


class PoolConfig(Model):
    """Connections kept to each endpoint, by each worker."""

    idle_timeout: Duration = Field(default="60s")
    """How long an unused connection is kept. An origin that announces less (Keep-Alive: timeout=5) gets less."""
    max_idle: Count = 64
    """Unused connections kept; the surplus is closed."""
    max_open: Count = 256
    """Connections open at a time, so that a slow origin is not buried under more of them."""
    queue: int = Field(default=1024, ge=0)
    """Requests that may wait for a connection when all are busy; 503 beyond."""
    queue_timeout: Duration = Field(default="5s")
    """How long a request waits for a connection when all are busy; then 503."""


class UpstreamTlsConfig(Model):
    """How https endpoints are spoken to."""

    verify: bool = True
    """Check the origin's certificate and name. `false` lets anyone on the way pose as the origin."""
    ca: str | None = None
    """A PEM file with the authorities to trust instead of the system's, for origins with a private CA."""
    server_name: Annotated[str, AfterValidator(_check_name)] | None = None
    """The name to ask for (SNI) and to verify, where it is not the host of the endpoint's URL."""
    certificate: str | None = None
    """A PEM file with the certificate chain that the gateway shows to the origin (mutual TLS)."""
    key: str | None = None
    """A PEM file with its private key; by default it stands in the certificate's file."""
    minimum: Literal["1.2", "1.3"] = "1.2"
    """The lowest TLS version to accept."""

    @model_validator(mode="after")
    def _check(self) -> UpstreamTlsConfig:
        if self.key is not None and self.certificate is None:
            raise ValueError("`key` goes with a `certificate`: add it")
        if not self.verify and self.ca is not None:
            raise ValueError("`ca` has no effect while `verify` is false: remove one of the two")
        return self


_Endpoint: TypeAlias = Annotated[
    EndpointConfig, BeforeValidator(_spell_out, json_schema_input_type=str | EndpointConfig)
]


class UpstreamConfig(Model):
    """One service behind the gateway: where it runs and how requests are spread over it."""

    endpoints: list[_Endpoint] = Field(min_length=1)
    """URLs such as `http://app:3000`, or `{url, weight}`."""
    balance: Balance = "least_requests"
    """How an endpoint is chosen: `least_requests` (the less busy of two drawn), `round_robin`, `random`, `first` (the
    others are spare), `hash` (the same client, or whatever `hash_on` says, always to the same endpoint)."""
    hash_on: HashOn | None = None
    """With `balance: hash`: `client` (the default), `path`, `header:NAME` or `cookie:NAME`."""
    host: Annotated[str, AfterValidator(_check_host)] = "preserve"
    """The Host field the origin sees: `preserve` what the client sent, the `endpoint`'s own, or a literal."""
    pool: PoolConfig = PoolConfig()
    """Connections kept open."""
    tls: UpstreamTlsConfig = UpstreamTlsConfig()
    """For https endpoints."""
    health: HealthConfig | None = None
    """Active checks: each endpoint is asked from time to time whether it is well."""
    ejection: Literal["off"] | EjectionConfig = EjectionConfig()
    """Endpoints whose answers speak against them are left out for a while."""
    panic: Share = Field(default="50%")
    """If less than this share of the endpoints is well, all are asked again that can be connected to, whatever checks
    and ejections say: with so few left, either the checks are wrong or those that are left would fall too. `0%`:
    never."""
    slow_start: Duration = Field(default="0s")
    """How long an endpoint that is new, or has returned, takes from a tenth of its share of the requests to all of
    it; for programs that are slow at first."""
    breaker: BreakerConfig | None = None
    """Leave the upstream alone when too much of it fails. One of which no endpoint can be reached is left alone in any
    case, and looked at twice a second."""
    failover: str | None = None
    """Name of the upstream that answers while this one has no endpoint to ask: all are down or drained, none can be
    reached, or the breaker is open."""
    retries: RetriesConfig = RetriesConfig()
    """Further attempts."""

    @model_validator(mode="after")
    def _check(self) -> UpstreamConfig:
        if self.hash_on is not None and self.balance != "hash":
            raise ValueError(f"`hash_on` has no effect with `balance: {self.balance}`: write `balance: hash`")
        seen: set[Any] = set()
        for endpoint in self.endpoints:
            if endpoint.address in seen:
                raise ValueError(f"{endpoint.url} stands here twice: give it a `weight` instead")
            seen.add(endpoint.address)
        if self.health is not None and self.health.type == "tls" and not all(one.address.tls for one in self.endpoints):
            raise ValueError("`health.type: tls` is for https endpoints: write tcp for the others")
        if self.tls != UpstreamTlsConfig() and not any(endpoint.address.tls for endpoint in self.endpoints):
            raise ValueError("`tls` has no effect: no endpoint is https")
        return self
