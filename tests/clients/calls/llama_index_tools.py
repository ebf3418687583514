"""Every call in the README of `llama-index-tools-wavespeed`, but for the agents: these need a language model."""

import json
import os
import time

import wavespeed
from llama_index.tools.wavespeed import WaveSpeedToolSpec

wavespeed.config.api.base_url = os.environ["SANDBOX_URL"]
said = {}

tool_spec = WaveSpeedToolSpec()
said["tools"] = [tool.metadata.name for tool in tool_spec.to_tool_list()]
said["image"] = tool_spec.generate_image("a lighthouse at dusk", aspect_ratio="16:9")
said["any model"] = tool_spec.run_model("wavespeed-ai/z-image/turbo", {"prompt": "a fox"})
said["video"] = tool_spec.generate_video("a drone shot over a glacier", duration=5)
configured = WaveSpeedToolSpec(
    api_key="sandbox-key",
    image_model="bytedance/seedream-v5.0-pro",
    video_model="wavespeed-ai/minimax-h3/text-to-video",
    timeout=None,
    poll_interval=0.2,
)
animate = {"prompt": "slow push in", "image": "https://stills.example/fox.png"}
said["clip"] = configured.run_model("wavespeed-ai/veo2-i2v", animate)
said["failed"] = configured.run_model("wavespeed-ai/z-image/turbo", {"prompt": "[sandbox:fails]"})
hasty = WaveSpeedToolSpec(timeout=0.5, poll_interval=0.2)
said["timed out"] = hasty.run_model("wavespeed-ai/z-image/turbo", {"prompt": "[sandbox:slow=3]"})
task_id = said["timed out"].partition("task_id: ")[2].partition(")")[0]
said["not yet"] = tool_spec.get_prediction(task_id)
said["of a failed one"] = tool_spec.get_prediction(said["failed"].partition("task_id: ")[2].partition(")")[0])
said["of none"] = tool_spec.get_prediction("0" * 32)
said["recovered"] = ""
for _ in range(40):
    said["recovered"] = tool_spec.get_prediction(task_id)
    if said["recovered"].startswith("http"):
        break
    time.sleep(0.25)
print(json.dumps(said))
