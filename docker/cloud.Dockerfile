# The cloud: gRPC on port 50051. Build from the repository's root:
#   docker build -f docker/cloud.Dockerfile -t splitwire-cloud .
FROM python:3.11-slim-bookworm AS build

# Where pip finds its packages, if not at its default; neither is kept in the image that results.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL

# For the entropy coder's loops, which without it would run in Python.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*

WORKDIR /build
RUN python3 -m venv /opt/splitwire
ENV PATH=/opt/splitwire/bin:$PATH

# What we depend on changes rarely and takes long: a layer of its own.
COPY pyproject.toml constraints.txt docker/requirements.py ./
RUN python requirements.py cloud > requirements.txt \
 && pip install --no-cache-dir --constraint constraints.txt --requirement requirements.txt

COPY . .
RUN pip install --no-cache-dir --no-deps . \
 && pip uninstall --yes --quiet setuptools pip

FROM python:3.11-slim-bookworm
ARG BUNDLE=models/cifar10
COPY --from=build /opt/splitwire /opt/splitwire
COPY docker/cloud-health.py /opt/splitwire/health.py
COPY ${BUNDLE} /bundle
# ONNX Runtime would otherwise report its use to its maker, and keep an identifier on disk.
ENV PATH=/opt/splitwire/bin:$PATH PYTHONDONTWRITEBYTECODE=1 ORT_DISABLE_TELEMETRY=1
USER 65532:65532
EXPOSE 50051
HEALTHCHECK --interval=5s --timeout=4s --start-period=20s CMD ["python", "/opt/splitwire/health.py"]
ENTRYPOINT ["cloud", "--bundle", "/bundle"]
# Beyond loopback it wants credentials, or --insecure, beside this: docs/security.md.
CMD ["--listen", "0.0.0.0:50051"]
