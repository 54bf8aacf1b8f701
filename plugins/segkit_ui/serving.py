"""What the pages have in common: they are served to this machine alone, unless more is asked for.

A page makes no request to another machine (it is told so by its Content-Security-Policy), nothing
is reported to anybody, and no file is served but what the page itself hands out. Listening on more
than this machine takes a token, which the page asks for.

This module imports gradio when a page is served, so that `segkit review --help` needs none.
"""

from __future__ import annotations

import errno
import html
import logging
import os
import secrets
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segkit.cli.common import plugin_options
from segkit.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from types import ModuleType

    from fastapi import FastAPI
    from gradio import Blocks

HOST, PORT, PORTS = "127.0.0.1", 7860, 100
"""Where pages are served by default: this machine, the first free one of so many ports."""

UPLOAD_BYTES = 64 * 2**20
"""The most that an uploaded file may have."""

COOKIE = "segkit-token"

POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'self'"
)
"""The Content-Security-Policy of every answer: nothing is loaded from another machine."""

ASKING = """<!doctype html><html lang="en"><meta charset="utf-8"><title>segkit</title>
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<body style="font:16px system-ui;max-width:26em;margin:20vh auto;padding:0 1em">
<form method="post" action="/token"><label>The token that the command has printed:<br>
<input name="token" type="password" autofocus autocomplete="off" style="width:100%;font:inherit">
</label> <p>NOTE</p><button style="font:inherit">Open</button></form></html>"""


def page_options() -> list[click.Option]:
    """The flags that every page takes."""
    option = click.Option
    return [
        option(
            ["--port"],
            type=click.IntRange(1, 65535),
            metavar="N",
            help=f"Serve the page there. [the first free one from {PORT}]",
        ),
        option(
            ["--host"],
            default=HOST,
            metavar="HOST",
            help=f"Serve other machines too: 0.0.0.0; the page then asks for a token. [{HOST}]",
        ),
        *plugin_options(),
        option(["--debug"], is_flag=True, help="Show the stack trace of errors."),
    ]


def gradio_for(command: str) -> ModuleType:
    """The library gradio, which reports nothing. Raises `MissingExtraError` where there is none."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        import gradio
    except ImportError:
        raise MissingExtraError(command, "gradio", "ui") from None
    return gradio


@dataclass
class Address:
    """A port that is held, so that nobody else takes it while models are loaded."""

    host: str
    socket: socket.socket = field(repr=False)
    token: str | None = None
    """What the page asks for; None for a page that this machine alone can reach."""

    @classmethod
    def hold(cls, host: str = HOST, port: int | None = None) -> Address:
        """Hold a port of this machine. Raises `UsageError` where that cannot be done."""
        try:
            place = socket.getaddrinfo(host, port or PORT, type=socket.SOCK_STREAM)[0]
        except OSError:
            raise UsageError(
                f"--host {host} is no address of this machine; leave it out, or give 0.0.0.0"
            ) from None
        family, address = place[0], str(place[4][0])
        here = address == "::1" or address.startswith("127.")
        for number in [port] if port else range(PORT, PORT + PORTS):
            listener = socket.socket(family, socket.SOCK_STREAM)
            if os.name == "posix":  # a port that was just left can be taken again
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((address, number))
                listener.listen(128)
            except OSError as error:
                listener.close()
                if error.errno == errno.EADDRINUSE and not port:
                    continue
                raise UsageError(_refusal(error, host, number)) from None
            return cls(host, listener, None if here else secrets.token_urlsafe(24))
        raise UsageError(
            f"the ports {PORT} to {PORT + PORTS - 1} are all in use; choose another by --port"
        )

    @property
    def port(self) -> int:
        """Its number."""
        return int(self.socket.getsockname()[1])

    @property
    def url(self) -> str:
        """What a browser on this machine is told."""
        name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)
        return f"http://{f'[{name}]' if ':' in name.strip('[]') else name}:{self.port}"


def _refusal(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"the port {port} is in use; choose another by --port, or leave it out"
    if error.errno == errno.EACCES:
        return f"the port {port} may not be used ({error.strerror}); choose one from 1024 by --port"
    return f"--host {host} is no address of this machine; leave it out, or give 0.0.0.0"


class Guard:
    """An ASGI application that lets through to another what comes from its own page alone.

    Refused are requests under another host's name (DNS rebinding), those that another site's page
    makes, and, where there is a token, those without its cookie.
    """

    def __init__(self, app: Any, address: Address) -> None:
        self.app, self.address = app, address

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":  # the pages use no websocket
            return await send({"type": "websocket.close", "code": 1008})
        from starlette.requests import Request
        from starlette.responses import PlainTextResponse

        request = Request(scope, receive)
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        named = host.rpartition(":")[0].strip("[]") or host
        if self.address.token is None and named not in (self.address.host, "localhost", "::1"):
            answer: Any = PlainTextResponse(f"this page is that of {self.address.url}", 403)
        elif origin is not None and origin.partition("://")[2] != host:
            answer = PlainTextResponse("another site's page may not ask this one", 403)
        elif (answer := await self._asked(request)) is None:
            return await self.app(scope, receive, _with_policy(send))
        return await answer(scope, receive, _with_policy(send))

    async def _asked(self, request: Any) -> Any:
        """The form that asks for the token, or what follows it; None: the token is there."""
        from starlette.responses import HTMLResponse, RedirectResponse

        token = self.address.token
        if token is None or secrets.compare_digest(
            request.cookies.get(COOKIE, "").encode(), token.encode()
        ):
            return None
        if request.url.path != "/token" or request.method != "POST":
            return HTMLResponse(ASKING.replace("NOTE", ""), 401)
        given = (await _short_form(request)).get("token", "")
        if not secrets.compare_digest(given.strip().encode(), token.encode()):
            return HTMLResponse(ASKING.replace("NOTE", "This is not the token."), 401)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(COOKIE, token, httponly=True, samesite="strict")
        return answer


async def _short_form(request: Any, most: int = 4096) -> dict[str, str]:
    """The fields of a form that was sent; empty where it is longer than a token can be."""
    from urllib.parse import parse_qsl

    body = b""
    async for part in request.stream():
        body += part
        if len(body) > most:
            return {}
    return dict(parse_qsl(body.decode("utf-8", "replace")))


def _with_policy(send: Any) -> Any:
    async def sending(message: Any) -> None:
        if message["type"] == "http.response.start":
            headers = [
                (b"content-security-policy", POLICY.encode()),
                (b"referrer-policy", b"same-origin"),
                (b"x-content-type-options", b"nosniff"),
            ]
            message = {**message, "headers": [*message.get("headers", ()), *headers]}
        await send(message)

    return sending


def application(
    blocks: Blocks, address: Address, *, folders: Sequence[Path] = (), **look: Any
) -> Guard:
    """A page as an ASGI application.

    `folders` are those whose files the browser may ask for by their paths; none by default: a page
    hands out pictures itself. `look` goes to gradio: `theme`, `css`, `js`, `head`.
    """
    import gradio
    from fastapi import FastAPI

    app: FastAPI = gradio.mount_gradio_app(
        FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        blocks,
        path="",
        server_name=address.host,
        server_port=address.port,
        allowed_paths=[str(folder.resolve()) for folder in folders],
        max_file_size=UPLOAD_BYTES,
        footer_links=[],
        enable_monitoring=False,
        ssr_mode=False,
        mcp_server=False,
        **look,
    )
    return Guard(app, address)


def serve(
    app: Guard, *, what: str, say: Callable[[str], None] = click.echo, quiet: bool = False
) -> None:
    """Serve a page until Ctrl-C, after saying where it is: `WHAT: http://127.0.0.1:7860`.

    Then the process ends, at once: Python would wait for threads that are still at work on what
    nobody asks for any more. So a page keeps what counts when it is asked to, not in the end.
    """
    import uvicorn

    address = app.address
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=1, ws="none"
    )
    if address.token is not None:
        port = f"port {address.port} of this machine"
        say(f"{what}: {port}; the page asks for this token: {address.token}")
    say(f"{what}: {address.url}" + ("" if quiet else "   (Ctrl-C ends it; nothing is lost)"))
    with suppress(KeyboardInterrupt):
        server = uvicorn.Server(config)
        ending = server.shutdown

        async def quietly(sockets: list[socket.socket] | None = None) -> None:
            # Pages that are still open keep a request waiting; that it is cut off is no error.
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
            await ending(sockets)

        server.shutdown = quietly
        server.run(sockets=[address.socket])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def escaped(text: object) -> str:
    """A name or a sentence as HTML shows it."""
    return html.escape(str(text))
