"""Recordings: one id for one content, a documented limit, and no look at another organisation's."""

from __future__ import annotations

import json

import pytest
from tests.config_service.surroundings import Service, Tenants, as_superuser, query, tenant_settings

from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.recordings import MAX_RECORDING_BYTES, UploadRecording
from incidentfox.kernel.crypto import content_hash
from incidentfox.kernel.errors import Failure, NotFound
from incidentfox.kernel.tenant import Tenant

pytestmark = pytest.mark.anyio

SMALL = UploadRecording(files={"alert.json": '{"title": "Übel"}', "logs.ndjson": '{"m": 1}\n' * 1000})


async def test_the_same_content_is_one_recording_and_comes_back_whole(service: Service, tenants: Tenants) -> None:
    platform, agent = service.as_service("platform"), service.as_service("agent")
    first = await platform.upload_recording(tenants.org, SMALL)
    assert await platform.upload_recording(tenants.org, SMALL) == first
    assert first.recording_id == content_hash(SMALL.model_dump(mode="json"))
    content = await agent.recording(Tenant(tenants.org, "checkout"), first.recording_id)
    assert content.files == SMALL.files
    [(stored,)] = query(service.database, "SELECT length(content) FROM config_recordings", tenant_settings(tenants.org))
    assert stored < first.size_bytes / 10


async def test_another_organisation_does_not_see_it_and_may_upload_its_own(service: Service, tenants: Tenants) -> None:
    platform, agent = service.as_service("platform"), service.as_service("agent")
    recording_id = (await platform.upload_recording(tenants.org, SMALL)).recording_id
    with pytest.raises(NotFound):
        await agent.recording(Tenant(tenants.other, "checkout"), recording_id)
    assert (await platform.upload_recording(tenants.other, SMALL)).recording_id == recording_id


async def test_sixteen_mebibytes_are_the_limit(service: Service, tenants: Tenants) -> None:
    path = f"/api/v1/orgs/{tenants.org}/recordings"
    token = service.service_token("platform", Permission.RECORDINGS_WRITE, tenants.org)
    headers = {"Content-Type": "application/json"}
    frame = len(json.dumps({"files": {"logs.ndjson": ""}}))
    body = json.dumps({"files": {"logs.ndjson": "x" * (MAX_RECORDING_BYTES - frame)}}).encode()
    assert len(body) == MAX_RECORDING_BYTES
    assert (await service.call("POST", path, token, content=body, headers=headers)).status_code == 201
    over = await service.call("POST", path, token, content=body + b" ", headers=headers)
    assert (over.status_code, over.json()["code"]) == (413, "too_large")


async def test_the_truth_cannot_be_uploaded(service: Service, tenants: Tenants) -> None:
    token = service.service_token("platform", Permission.RECORDINGS_WRITE, tenants.org)
    for name in ("truth.json", "../alert.json", "context/../truth.json"):
        answer = await service.call(
            "POST", f"/api/v1/orgs/{tenants.org}/recordings", token, json={"files": {name: "{}"}}
        )
        assert answer.status_code == 422


async def test_a_damaged_recording_is_never_served(service: Service, tenants: Tenants) -> None:
    platform, agent = service.as_service("platform"), service.as_service("agent")
    other = await platform.upload_recording(tenants.org, UploadRecording(files={"alert.json": "{}"}))
    for damage in ("'nonsense'::bytea", "decode('1f8b080000000000000003000000', 'hex')"):
        as_superuser(
            service.database,
            f"UPDATE config_recordings SET content = {damage}"
            f" WHERE org_id = '{tenants.org}' AND recording_id = '{other.recording_id}'",
        )
        with pytest.raises(Failure) as failure:
            await agent.recording(Tenant(tenants.org, "checkout"), other.recording_id)
        assert failure.value.code == "integrity_failure"


async def test_a_secret_is_not_stored_and_the_files_stay_readable(service: Service, tenants: Tenants) -> None:
    platform, agent = service.as_service("platform"), service.as_service("agent")
    secret, plain = "ghp_" + "a1B2" * 9, '{"msg": "fine",  "n": 1}'
    leaky = json.dumps({"msg": f"cloned with {secret}", "db": {"password": 'two "words"'}, "n": 1.50})
    commits = json.dumps([{"sha": "a" * 40, "diff": f'+TOKEN = "{secret}"'}], indent=1)
    files = {
        "alert.json": json.dumps({"summary": f"leak {secret}"}),
        "logs.ndjson": f"{plain}\n{leaky}\nnot json, token={secret}\n",
        "metrics.csv": f"timestamp,service,metric,value\n1,orders,{secret},2\n",
        "context/commits.json": commits,
        "context/deploys.json": "[ ]",
    }
    upload = UploadRecording.model_validate({"files": files})
    recording = await platform.upload_recording(tenants.org, upload)
    assert await platform.upload_recording(tenants.org, upload) == recording
    stored = (await agent.recording(Tenant(tenants.org, "checkout"), recording.recording_id)).files
    assert secret not in str(stored)
    lines = stored["logs.ndjson"].splitlines()
    assert lines[0] == plain
    assert json.loads(lines[1]) == {
        "msg": "cloned with [redacted:github-token]",
        "db": {"password": "[redacted:value]"},
        "n": 1.5,
    }
    assert json.loads(stored["context/commits.json"])[0]["sha"] == "a" * 40
    assert stored["context/deploys.json"] == "[ ]"
    assert stored["metrics.csv"].splitlines()[1] == "1,orders,[redacted:github-token],2"
