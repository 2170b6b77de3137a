"""The routes: the page, REST, health and numbers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from fastapi import FastAPI, Query, Request, UploadFile
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException as HTTPError

from framecast.errors import InputError
from framecast.web import refusals
from framecast.web.asking import Ask
from framecast.web.books import Books
from framecast.web.desk import Desk
from framecast.web.gate import BUG, Gate
from framecast.web.kitchen import AGAIN, Kitchen
from framecast.web.limits import Limits

VERSION = version("framecast")
STATIC = Path(__file__).with_name("static")
DESCRIPTION = "Forecast the next frames of a video. Every error has where, what and fix."
ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": "the video or the question cannot be used: where, what, fix"},
    401: {"description": "the token is missing or wrong"},
    408: {"description": "the upload came too slowly"},
    413: {"description": "the upload is too large"},
    503: {"description": "busy or starting: Retry-After says when to come again"},
    504: {"description": "not done before the deadline"},
}
NAMED: dict[int | str, dict[str, Any]] = {code: ERRORS[code] for code in (400, 503)}
Step: TypeAlias = Annotated[int, InPath(ge=0, le=10**9)]
FILES: dict[str, Any] = {
    kind: {"schema": {"type": "string", "format": "binary"}}
    for kind in ("image/gif", "video/mp4", "application/octet-stream")
}


def build_app(
    sources: tuple[str, ...] = (),
    runs: Path | None = None,
    *,
    token: str | None = None,
    public: bool = False,
    limits: Limits | None = None,
    kitchen: Kitchen | None = None,
) -> FastAPI:
    """The web app, for any ASGI server; `serve` runs it.

    Args:
        sources: run folders and names of models to offer; the first is the default.
        runs: a folder of runs, offered and shown too.
        token: that every request but those for the page has to bring.
        public: let any page and any name of this machine in, without a token.
        limits: see `Limits`.
        kitchen: in place of one that offers `sources` and `runs`.
    """
    limits = limits or Limits()
    told = {"sources": sources, "runs": runs and str(runs), "batch": limits.batch}
    cooking, books = kitchen or Kitchen(told), Books()
    desk = Desk(limits, books)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        cooking.open()
        yield
        cooking.close()

    app = FastAPI(
        title="framecast",
        version=VERSION,
        description=DESCRIPTION,
        openapi_url="/v1/openapi.json",
        docs_url=None,  # it would load scripts from another machine
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.kitchen = cooking
    _answer_errors(app)
    _watch(app, cooking, books)
    _forecast(app, cooking, desk)
    _look(app, cooking)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    # Around all, not one of its middlewares: those do not see the answer to a fault.
    gate: Any = Gate(app.build_middleware_stack(), limits, token, public, desk, books)
    app.middleware_stack = gate
    return app


def _answer_errors(app: FastAPI) -> None:
    """One form for every error."""

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPError)
        what, fix = f"cannot be answered ({error.detail})", "see /v1/openapi.json"
        wrong = refusals.told(InputError("the request", what, fix))
        said = error.told if isinstance(error, refusals.Refusal) else wrong
        content = {**said, "request": request.state.id}
        return JSONResponse(content, error.status_code, error.headers)

    async def unusable(request: Request, error: Exception) -> Response:
        assert isinstance(error, InputError)
        content = {**refusals.told(error), "request": request.state.id}
        return JSONResponse(content, 400)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:]) or "the request"
        wrong = InputError(place, "is not valid", str(first["msg"]))
        return await unusable(request, wrong)

    async def broken(request: Request, _: Exception) -> Response:  # it goes on to the gate's log
        return JSONResponse({**refusals.told(BUG), "request": request.state.id}, 500)

    app.add_exception_handler(HTTPError, refused)
    app.add_exception_handler(InputError, unusable)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, broken)


def _watch(app: FastAPI, kitchen: Kitchen, books: Books) -> None:
    """What those ask who watch over a server."""

    @app.get("/health", summary="Whether the server answers")
    async def health() -> dict[str, Any]:
        return {"status": "ok", "version": VERSION, "ready": kitchen.ready}

    @app.get("/ready", summary="Whether it can forecast", responses={503: ERRORS[503]})
    async def ready() -> JSONResponse:
        if kitchen.ready:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "starting"}, 503, {"Retry-After": str(AGAIN)})

    @app.get("/metrics", summary="Numbers for Prometheus", response_class=PlainTextResponse)
    async def metrics() -> PlainTextResponse:
        return PlainTextResponse(books.text(), media_type="text/plain; version=0.0.4")


def _forecast(app: FastAPI, kitchen: Kitchen, desk: Desk) -> None:
    @app.post(
        "/v1/forecast",
        summary="Forecast the frames after a video, or its last ones and score them",
        responses={**ERRORS, 200: {"description": "the forecast", "content": FILES}},
    )
    async def forecast(
        request: Request, ask: Annotated[Ask, Query()], video: UploadFile
    ) -> Response:
        file: Any = video.file
        facts = {"ask": ask.model_dump(), "name": (video.filename or "the upload")[-80:]}
        with desk.place():
            file.rollover()  # from memory to a file without a name
            file.flush()
            try:
                kind, content = await kitchen.do("forecast", facts, request.state.until, file)
            except TimeoutError:
                raise refusals.late(desk.limits.deadline) from None
        headers = {}
        if ask.format != "json":
            headers["content-disposition"] = f'attachment; filename="forecast.{ask.format}"'
        return Response(content, media_type=kind, headers=headers)


def _look(app: FastAPI, kitchen: Kitchen) -> None:
    """The page, and what it shows."""

    async def done(request: Request, what: str, **facts: Any) -> Response:
        try:
            kind, content = await kitchen.do(what, facts, request.state.until)
        except TimeoutError:
            raise refusals.busy(1) from None
        return Response(content, media_type=kind)

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    def offer(path: str, what: str, summary: str) -> None:
        @app.get(path, summary=summary, responses={503: ERRORS[503]}, name=what)
        async def one(request: Request) -> Response:
            return await done(request, what)

    offer("/v1/models", "models", "What forecasts can be made with")
    offer("/v1/clips", "clips", "Names of the built-in clips")
    offer("/v1/digits", "digits", "Drawn digits, to be placed in frames")
    offer("/v1/runs", "runs", "Training runs, the newest first")

    @app.get("/v1/clips/{name}", summary="A built-in clip, .npy", responses=NAMED)
    async def clip(request: Request, name: str) -> Response:
        return await done(request, "clip", name=name)

    @app.get("/v1/runs/{name}", summary="Curves of a run", responses=NAMED)
    async def run(request: Request, name: str) -> Response:
        return await done(request, "run", name=name)

    @app.get("/v1/runs/{name}/samples/{step}", summary="A sample forecast, .gif", responses=NAMED)
    async def sample(request: Request, name: str, step: Step) -> Response:
        return await done(request, "sample", name=name, step=step)
