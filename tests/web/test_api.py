"""The same jobs over Gradio's API, from another process, with `gradio_client`."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import av
import httpx
import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from gradio_client import Client
    from gradio_client.exceptions import AppError

from tests.serving import serving

ASKED = {"prompt": "球 fps=60", "seconds": 2, "seed": 3}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("jobs")) as port:
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture(scope="module")
def client(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    made = Client(url, verbose=False, analytics_enabled=False, download_files=tmp_path_factory.mktemp("files"))
    yield made
    made.close()


def test_generate_tells_its_progress_and_hands_over_the_file(client: Client) -> None:
    job = client.submit(ASKED, api_name="/generate")
    state, path = job.result(timeout=60)
    assert state["state"] == "done"
    assert [told["state"] for told, _ in job.outputs()][-1] == "done"
    assert len(job.outputs()) > 1
    with av.open(path) as container:
        assert container.streams.video[0].frames == 48
        assert '"seed": 3' in container.metadata["comment"]


def test_submit_state_cancel_and_the_routes_are_one_job(client: Client, url: str) -> None:
    state = client.predict({**ASKED, "prompt": "球 fps=12"}, api_name="/submit")
    same = httpx.get(f"{url}gradio_api/wan/jobs/{state['id']}").json()
    assert same["request"] == state["request"]
    assert client.predict(state["id"], api_name="/state")["state"] in ("queued", "running")
    client.predict(state["id"], api_name="/cancel")
    with httpx.stream("GET", f"{url}gradio_api/wan/jobs/{state['id']}/stream", timeout=30) as stream:
        stream.read()
    assert client.predict(state["id"], api_name="/state")["state"] == "cancelled"


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"prompt": ""}, "prompt: given ''"),
        ({"prompt": "长" * 10_000}, "prompt: given '10000'"),
        ({"style": "Nobody"}, "style: given 'Nobody'"),
        ({"seed": 2**32}, "seed: given 4294967296"),
        ({"width": 640, "height": 480}, "size: given '640×480'"),
        ({"seconds": "4"}, "seconds: given '4'"),
        ({"colour": "red"}, "colour: given 'unknown field'"),
        ({"prompt": "(猫"}, "prompt: character 1"),
    ],
)
@pytest.mark.parametrize("endpoint", ["/submit", "/generate"])
def test_a_bad_request_is_refused_by_name(client: Client, endpoint: str, changed: dict[str, Any], named: str) -> None:
    with pytest.raises(AppError, match="^" + named.replace("(", r"\(")):
        client.predict({**ASKED, **changed}, api_name=endpoint)
    assert client.predict(ASKED, api_name="/submit")["state"] in ("queued", "running", "done")


def test_a_failed_job_says_why(client: Client) -> None:
    with pytest.raises(AppError, match="drawn to fail"):
        client.predict({**ASKED, "prompt": "球 fps=60 fail=10"}, api_name="/generate")


def test_a_clip_goes_on(client: Client) -> None:
    first, _ = client.predict(ASKED, api_name="/generate")
    longer = client.predict(first["id"], 2, api_name="/continue_job")
    assert (longer["continues"], longer["num_frames"], longer["seed"]) == (first["id"], 96, 3)
    with pytest.raises(AppError, match="seconds: given 3"):
        client.predict(first["id"], 3, api_name="/continue_job")


def test_an_unknown_id_is_refused(client: Client) -> None:
    for endpoint in ("/state", "/cancel", "/continue_job"):
        with pytest.raises(AppError, match="no such job"):
            client.predict("0" * 32, api_name=endpoint)
