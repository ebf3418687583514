"""Every call that the README of WaveSpeed's Python SDK shows."""

import io
import json
import os
from pathlib import Path

import wavespeed
from wavespeed import Client

URL, STILL = os.environ["SANDBOX_URL"], os.environ["STILL"]
MODEL, CAT = "wavespeed-ai/z-image/turbo", {"prompt": "Cat"}
wavespeed.config.api.base_url = URL
said = {}

said["run"] = wavespeed.run(MODEL, CAT)
client = Client(api_key="sandbox-key")
said["with a client"] = client.run(MODEL, CAT)
said["options"] = wavespeed.run(MODEL, CAT, timeout=None, poll_interval=0.2, enable_sync_mode=False)
said["sync"] = wavespeed.run(MODEL, CAT, enable_sync_mode=True)
careful = Client(api_key="sandbox-key", max_retries=0, max_connection_retries=5, retry_interval=0.1)
said["retries"] = careful.run(MODEL, {"prompt": "Cat [sandbox:unavailable=2]"}, poll_interval=0.2)
said["upload"] = wavespeed.upload(STILL)
with Path(STILL).open("rb") as still:
    said["upload of a file"] = client.upload(still)
with Path(STILL).open("rb") as still:
    said["upload without a name"] = client.upload(io.BytesIO(still.read()))
animate = {"prompt": "slow push in", "image": said["upload"]}
said["clip"] = client.run("wavespeed-ai/veo2-i2v", animate, poll_interval=0.2)
said["no throw"] = client.run_no_throw(MODEL, CAT, poll_interval=0.2)
said["no throw, failed"] = client.run_no_throw(MODEL, {"prompt": "[sandbox:fails]"}, poll_interval=0.2)
said["sync timeout"] = client.run_no_throw(MODEL, {"prompt": "[sandbox:sync-timeout]"}, enable_sync_mode=True)
said["result"] = client.get_result(said["no throw"]["task_id"])
for name, prompt in (("failed", "[sandbox:fails]"), ("refused", "[sandbox:error-only]")):
    try:
        client.run(MODEL, {"prompt": prompt}, poll_interval=0.2)
    except RuntimeError as error:
        said[name] = str(error)
try:
    client.run(MODEL, {"prompt": "[sandbox:slow=60]"}, timeout=0.5, poll_interval=0.2)
except TimeoutError as error:
    said["timed out"] = str(error)
print(json.dumps(said))
