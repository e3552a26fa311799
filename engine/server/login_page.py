"""The page a browser gets that has no token yet: one field, no script."""

from __future__ import annotations

import base64
import hashlib

from aiohttp import web

__all__ = ["asks_for_page", "login_page"]

_STYLE = """
:root { color-scheme: dark light; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; font: 15px/1.5 system-ui, sans-serif;
  background: light-dark(#eef0f3, #131519); color: light-dark(#1c2027, #e4e7ec); }
form { box-sizing: border-box; width: min(22rem, 92vw); display: grid; gap: .75rem; padding: 1.5rem;
  border-radius: 12px;  background: light-dark(#fff, #1a1d23); border: 1px solid light-dark(#c9ced8, #333945); }
h1 { margin: 0; font-size: 1.1rem; }
p { margin: 0; color: light-dark(#576070, #9aa3b2); }
.wrong { color: light-dark(#b3243e, #ff8397); }
input, button { font: inherit; padding: .5rem .75rem; border-radius: 8px;
  border: 1px solid light-dark(#c9ced8, #333945); }
input { background: light-dark(#eef0f3, #131519); color: inherit; }
button { background: light-dark(#2f5fd0, #7aa2f7); color: light-dark(#fff, #10131a); border: 0; font-weight: 600; }
:focus-visible { outline: 2px solid light-dark(#2f5fd0, #7aa2f7); outline-offset: 2px; }
"""
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign in – Atelier</title>
<style>{style}</style>
</head>
<body>
<form action="/" method="get">
<h1>Atelier</h1>
<label for="token">This server asks for its token. It was printed when the server started.</label>
{wrong}<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button type="submit">Sign in</button>
</form>
</body>
</html>
"""
_WRONG = '<p class="wrong" role="alert">That was not the token.</p>\n'
_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


def asks_for_page(request: web.Request) -> bool:
    """Whether somebody opens the page in a browser; programs get the refusal as JSON."""
    return request.method == "GET" and request.path == "/" and "text/html" in request.headers.get("Accept", "")


def login_page(is_wrong: bool) -> web.Response:
    """The form, with 401; its answer is the address the gate turns into a cookie."""
    text = _PAGE.format(style=_STYLE, wrong=_WRONG if is_wrong else "")
    headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"}
    return web.Response(text=text, status=401, content_type="text/html", charset="utf-8", headers=headers)
