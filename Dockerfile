# One image for every process of ours (api, worker, migrate, sandbox); the command tells which.

FROM python:3.12.13-slim-trixie AS build
WORKDIR /build
RUN python -m venv /venv
COPY pyproject.toml constraints.txt ./
# Only what the processes need, in the tested versions. A layer of its own: changed code does not install it again.
RUN python -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
        print(*project['dependencies'], *project['optional-dependencies']['otel'], sep='\n')" \
        > requirements.txt \
    && /venv/bin/pip install --no-cache-dir --disable-pip-version-check \
        --constraint constraints.txt --requirement requirements.txt \
    && /venv/bin/pip uninstall --yes --quiet pip

FROM python:3.12.13-slim-trixie
ENV PATH=/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin postwerk \
    && install --directory --owner=postwerk --group=postwerk /data
COPY --from=build /venv /venv
WORKDIR /app
COPY pyproject.toml worker.py ./
COPY api ./api
COPY activities ./activities
COPY workflows ./workflows
COPY postwerk ./postwerk
# The root is read-only later on: what is not compiled now would be compiled at each start.
RUN python -m compileall -q /app
USER 10001:10001
CMD ["python", "-m", "worker"]
