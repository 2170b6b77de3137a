FROM python:3.12-slim

# Where pip finds torch for the CPU alone; without it the image also gets gigabytes of CUDA.
ARG PIP_EXTRA_INDEX_URL
ENV PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 FRAMECAST_COMPILE=0 HOME=/tmp
WORKDIR /srv/framecast
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY framecast framecast
COPY recipes recipes
COPY weights weights
RUN pip install -c constraints.txt ".[serve]" \
    && useradd --system --no-create-home framecast

USER framecast
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
ENTRYPOINT ["framecast", "serve", "--host", "0.0.0.0", "--port", "8000"]
