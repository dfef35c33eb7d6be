# Everything for scan, train, audit and gate on CPU. For a GPU, start FROM an image with its own torch: the
# version ranges in pyproject.toml leave it alone.
FROM python:3.12-slim

# Another index, of the house or of PyTorch's CPU wheels: without one pip takes the CUDA build, gigabytes larger.
#   docker build --build-arg PIP_EXTRA_INDEX_URL=... -t mlmguard .
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL

# git reads the signatures of waivers (mlmguard gate --require-signed)
RUN apt-get update \
 && apt-get install --yes --no-install-recommends git openssh-client \
 && rm -rf /var/lib/apt/lists/*

WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY mlmguard mlmguard
COPY policies policies
RUN pip install --no-cache-dir -c constraints.txt ".[signing]"

# the corpus is mounted here; nobody needs to be root to read it
RUN useradd --create-home --uid 1000 guard
USER guard
WORKDIR /data
ENTRYPOINT ["mlmguard"]
CMD ["--help"]
