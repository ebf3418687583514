"""The Python clients: each does what its documentation shows, and what comes back is right."""

import base64
import io
from typing import Any

import pytest
from clients.serving import STILL, Served
from PIL import Image

from animatic.media.clips import probe_clip

pytestmark = pytest.mark.timeout(180)


def _is_picture(served: Served, url: str) -> bool:
    with Image.open(io.BytesIO(served.fetch(url))) as image:
        return image.format == "PNG" and min(image.size) > 500


def _clip_s(served: Served, url: str) -> float:
    facts = probe_clip(served.fetch(url))
    assert facts.codec == "h264"
    return facts.duration_s


def test_the_official_sdk(served: Served, calls: Any) -> None:
    said = calls("official_sdk.py")
    for name in ("run", "with a client", "options", "sync", "retries"):
        [url] = said[name]["outputs"]
        assert _is_picture(served, url), name
    for name in ("upload", "upload of a file", "upload without a name"):
        assert served.fetch(said[name]) == STILL.read_bytes(), name
    assert _clip_s(served, said["clip"]["outputs"][0]) == pytest.approx(5, abs=0.1)
    assert said["no throw"] | {"task_id": "", "outputs": []} == {
        "status": "completed",
        "outputs": [],
        "task_id": "",
        "error": None,
    }
    assert said["result"]["data"]["outputs"] == said["no throw"]["outputs"]
    assert said["no throw, failed"]["status"] == "failed"
    assert said["sync timeout"]["status"] == "processing"
    assert "Sync mode timed out" in said["sync timeout"]["error"]
    assert len(said["sync timeout"]["task_id"]) == 32
    assert said["failed"].startswith("Prediction failed (task_id: ")
    assert said["refused"].startswith('Failed to submit prediction: HTTP 400: {"error"')
    assert "timed out after 0.5 seconds" in said["timed out"]
    assert [each["inputs"]["image"] for each in served.witness() if "image" in each["inputs"]] == [said["upload"]]


def test_the_provider_of_huggingface_hub(served: Served, calls: Any) -> None:
    said = calls("huggingface.py")
    for name in ("from a path", "from bytes", "from a URL", "clip of a text"):
        assert probe_clip(base64.b64decode(said[name])).codec == "h264", name
    assert min(said["picture of a text"]) > 500
    with Image.open(STILL) as still:
        assert said["picture of a picture"] == list(still.size)
    assert said["failed"] == "WaveSpeed AI task failed: sandbox: the model failed on its side"
    images = [each["inputs"]["image"] for each in served.witness() if each["inputs"]["prompt"].startswith("The lamp")]
    assert images[0] == images[1] != images[2]
    assert served.fetch(images[0]) == STILL.read_bytes()


def test_the_tools_of_langchain(served: Served, calls: Any) -> None:
    said = calls("langchain_tools.py")
    for name in ("image", "any model", "awaited"):
        assert _is_picture(served, said[name]), name
    for name in ("video", "best video", "clip"):
        assert _clip_s(served, said[name]) == pytest.approx(5, abs=0.1), name
    assert "Prediction failed (task_id: " in said["failed"]
    assert "HTTP 500" in said["lost"]
    picture = next(each for each in served.witness() if each["model"] == "bytedance/seedream-v5.0-pro")
    assert picture["inputs"]["resolution"] == "2k"
    assert "seed" not in next(each for each in served.witness() if each["model"].endswith("veo2-i2v"))["inputs"]


def test_the_tools_of_llama_index(served: Served, calls: Any) -> None:
    said = calls("llama_index_tools.py")
    assert said["tools"] == ["generate_image", "generate_video", "run_model", "get_prediction"]
    for name in ("image", "any model", "recovered"):
        assert _is_picture(served, said[name]), name
    for name in ("video", "clip"):
        assert _clip_s(served, said[name]) == pytest.approx(5, abs=0.1), name
    assert said["failed"].startswith("Error: ")
    assert "timed out after 0.5 seconds" in said["timed out"]
    assert "is not finished yet (status: processing)" in said["not yet"]
    assert said["of a failed one"].endswith("failed: sandbox: the model failed on its side")
    assert "HTTP 404" in said["of none"]
