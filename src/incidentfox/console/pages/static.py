"""Style sheets, scripts and the logo."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from incidentfox.kernel.errors import NotFound
from incidentfox.kernel.web.auth import public

router = APIRouter()

_FOR_GOOD = "public, max-age=31536000, immutable"


@router.get("/static/{name}", include_in_schema=False)
@public
async def static(request: Request, name: str, v: Annotated[str, Query(max_length=64)] = "") -> Response:
    """One file. Under the address that names its content, browsers keep it for good."""
    asset = request.app.state.assets.get(name)
    if asset is None:
        raise NotFound("There is no such file.")
    kept = _FOR_GOOD if v == asset.digest else "no-cache"
    return Response(asset.content, media_type=asset.media_type, headers={"Cache-Control": kept})
