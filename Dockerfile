# syntax=docker/dockerfile:1
# The gateway in a container: locked dependencies, glibc (google-re2 has no musl wheels), no root, nothing written to its own disk.
# What it may write: /tmp (`buffering` beyond memory) and /var/lib/gateway (`state_dir`), where either is configured. As process 1
# it reaps orphans itself, so there is no init before it. deploy/check.sh walks the same steps without a container engine.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim-bookworm AS build
WORKDIR /build
COPY requirements.lock .
RUN python -m venv --without-pip /opt/gateway \
 && python -m pip --python /opt/gateway/bin/python install --no-cache-dir --require-hashes --only-binary :all: -r requirements.lock
COPY gateway /opt/gateway/app/gateway
COPY deploy/probe.py /opt/gateway/app/probe.py
# Byte code is made now: the running container cannot write any.
RUN python -m compileall -q /opt/gateway/app /opt/gateway/lib

FROM python:${PYTHON}-slim-bookworm
LABEL org.opencontainers.image.title="edge-gateway" \
      org.opencontainers.image.description="A reverse proxy for the front of any HTTP backend" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/gateway /opt/gateway
RUN printf '#!/opt/gateway/bin/python\nimport sys\nsys.path.insert(0, "/opt/gateway/app")\nfrom gateway.cli import main\nsys.exit(main())\n' \
      > /usr/local/bin/gateway \
 && chmod 755 /usr/local/bin/gateway \
 && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin gateway \
 && install --directory --owner gateway --group gateway --mode 700 /var/lib/gateway
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001
WORKDIR /etc/gateway
EXPOSE 8080 8443
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD ["/opt/gateway/bin/python", "-I", "/opt/gateway/app/probe.py"]
ENTRYPOINT ["gateway"]
CMD ["run", "-c", "/etc/gateway/config.yaml"]
